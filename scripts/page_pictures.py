"""Take the pictures of the page that the docs show, docs/images/space-*.png, of a finished run.

usage: python scripts/page_pictures.py RUN

It needs the packages of the tests and a browser: chromium on the PATH. The docs show the run of `hub-distill demo`.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

_IMAGES = Path(__file__).parents[1] / "docs/images"
_SIZE = {"width": 1440, "height": 1100}
# Tab -> what is there when all of it is.
_SHOWN = {"tokens": ".ht-tokens .ht-piece", "search": ".ht-side.student .ht-hits li", "languages": ".ht-bars tbody tr"}
_SECONDS = 300  # models are loaded and the sample is encoded before the first search


def take(browser: Any, address: str, folder: Path) -> None:
    """Write a picture of each of the tabs at the top of the page, in English, to a folder."""
    for tab, shown in _SHOWN.items():
        page = browser.new_page(viewport=_SIZE, locale="en-US")
        page.goto(f"{address}?tab={tab}")
        page.wait_for_selector(shown, timeout=1000 * _SECONDS)
        page.wait_for_function("!document.querySelector('.pending, .generating')")
        page.wait_for_timeout(500)  # colours of tabs change slowly
        page.screenshot(path=folder / f"space-{tab}.png")
        page.close()


def main() -> None:
    """Open the page of a run, and take its pictures."""
    from playwright.sync_api import sync_playwright

    from hub_tools.space.app import launch
    from hub_tools.space.content import from_run
    from hub_tools.space.service import Service

    _, address = launch(Service(from_run(Path(sys.argv[1]))), wait=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        take(browser, address, _IMAGES)
        browser.close()
    os._exit(0)  # threads of the page may still encode, which Python's own end aborts


if __name__ == "__main__":
    main()
