// Looks again by itself: fetches the same address and puts its numbers in place of these. Without it the page works all the same.
"use strict";
(() => {
  const pause = document.getElementById("pause");
  const said = document.getElementById("refreshed");
  let timer = 0;
  let paused = false;
  const live = () => document.getElementById("live");
  const seconds = () => Number(live().dataset.refresh) || 10;
  const focusables = () => [...live().querySelectorAll("a, summary, [tabindex]")];
  const clock = () => new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, timeZone: live().dataset.zone });
  const later = (wait) => { clearTimeout(timer); if (!paused) timer = setTimeout(look, wait * 1000); };

  function replace(fresh) {
    const old = live();
    const open = new Set([...old.querySelectorAll("details[open]")].map((each) => each.id));
    const scrolled = [...old.querySelectorAll(".scroll")].map((each) => each.scrollTop);
    const focused = focusables().indexOf(document.activeElement);
    fresh.querySelectorAll("details").forEach((each) => { each.open = each.open || open.has(each.id); });
    old.replaceWith(document.adoptNode(fresh));
    live().querySelectorAll(".scroll").forEach((each, i) => { each.scrollTop = scrolled[i] || 0; });
    if (focused >= 0) focusables()[focused]?.focus({ preventScroll: true });
  }

  async function look() {
    if (document.hidden) { later(2); return; }
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(60000) });
      if (answer.status === 401) { location.reload(); return; }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
      if (!fresh) throw new Error("no numbers");
      if (fresh.innerHTML !== live().innerHTML || fresh.dataset.refresh !== live().dataset.refresh) replace(fresh);
      said.textContent = `as of ${clock()}`;
      said.classList.remove("lost");
    } catch {
      said.textContent = "The page's server has gone; still looking for it.";
      said.classList.add("lost");
    }
    later(seconds());
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) clearTimeout(timer); else look();
  });
  said.textContent = `as of ${clock()}`;
  later(seconds());
})();
