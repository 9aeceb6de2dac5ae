"""Chromium and its driver: those on PATH, else Debian's, unpacked into the servers' cache."""

import base64
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from tests.services import debian
from tests.services.installing import installed

SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# Of the C library the machine's own is used: its loader belongs to it, and Chromium starts itself anew without one of ours.
C_LIBRARY = "*-linux-gnu/{}"
PARTS = (
    "libc.so*",
    "libm.so*",
    "libmvec.so*",
    "libpthread.so*",
    "libdl.so*",
    "librt.so*",
    "libresolv.so*",
    "ld-linux*",
)
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{root}/usr/share/fonts</dir><cachedir>{root}/fonts-cache</cachedir></fontconfig>
"""


def install() -> Path | None:
    """The cache's root folder with both; None if the machine has them itself.

    Raises:
        ServiceError: They can't be had.
    """
    if shutil.which("chromium") and shutil.which("chromedriver"):
        return None
    return installed("chromium-1", _build)


def _build(folder: Path) -> None:
    debian.unpack("chromium-driver", folder)  # it depends on the browser of its version
    for part in PARTS:
        for library in folder.glob(f"**/{C_LIBRARY.format(part)}"):
            library.unlink()


def look(driver: webdriver.Chrome, *, width: int = 1440, height: int = 900, dark: bool = False) -> None:
    """Sets the size of the view and whether the person prefers dark pages."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def picture(driver: webdriver.Chrome, path: Path, *, whole: bool = True) -> None:
    """A PNG of the view, or of the whole page."""
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
    path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own, of which nothing stays. Its console is kept."""
    root = install()
    with tempfile.TemporaryDirectory(prefix="clickstream-browser-") as folder:
        options, environment = Options(), dict(os.environ)
        for switch in (*SWITCHES, f"--user-data-dir={folder}/profile"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        program = shutil.which("chromedriver")
        if root is not None:
            fonts = Path(folder, "fonts.conf")
            fonts.write_text(FONTS.format(root=root))
            places = ("usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/pulseaudio", "lib/*-linux-gnu")
            libraries = [folder for place in places for folder in root.glob(place)]
            environment |= {"LD_LIBRARY_PATH": ":".join(map(str, libraries)), "FONTCONFIG_FILE": str(fonts)}
            options.binary_location = str(root / "usr/lib/chromium/chromium")
            program = str(root / "usr/bin/chromedriver")
        driver = webdriver.Chrome(options, Service(program, env=environment | {"HOME": folder}))
        try:
            yield driver
        finally:
            driver.quit()
