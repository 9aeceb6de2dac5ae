"""A person before the live page: opening, waiting, reading, and the keyboard."""

import re
import time

import pytest
from selenium.webdriver.common.keys import Keys


def open_page(browser, address):
    """Opens it and waits until everything is computed."""
    browser.get(address)
    wait_for(lambda: "…" not in live(browser))


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.1)


def live(browser):
    return browser.execute_script("return document.getElementById('live')?.innerText ?? ''")


def tiles(browser):
    pairs = (
        "[...document.querySelectorAll('#live dl > div')].map(d => [d.children[0].innerText, d.children[1].innerText])"
    )
    return dict(browser.execute_script(f"return {pairs}"))


def table(browser, section):
    cells = (
        f"[...document.querySelectorAll('#{section} tbody tr')].map(r => [...r.children].map(c => c.innerText.trim()))"
    )
    return browser.execute_script(f"return {cells}")


def check_look(browser, width, *, dark):
    """Nothing is wider than the view, and dark is dark."""
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", colour)[:3])) < 200) == dark


def focused(browser):
    return browser.execute_script(
        "const e = document.activeElement; return [e.tagName, e.innerText || e.name, getComputedStyle(e).outlineStyle]"
    )


def press(browser, *keys):
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def tab_to(browser, name, most=60):
    for _ in range(most):
        press(browser, Keys.TAB)
        tag, text, outline = focused(browser)
        if text == name:
            assert outline not in ("", "none"), f"{tag} {text}: where the focus is doesn't show"
            return
    pytest.fail(f"{name} can't be reached by the keyboard")
