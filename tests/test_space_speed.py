"""How soon the page can be used, in a real browser; the limits grow with what others do on the machine."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from hub_tools.config import RunConfig
from tests.page_server import needs_browser, open_page, slowness, visit

pytestmark = needs_browser

# Page and browser each take a processor: beside other tests they wait for one another.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
# Seconds on a machine that nobody else uses; and how often the page is opened, for what others do comes in bursts.
_LIMITS = {"tokens": 2, "an answer or its progress": 3, "a visitor's first search": 3}
_ATTEMPTS = 3


def open_and_search(browser: Any, run: Path, folder: Path) -> dict[str, float]:
    """Return how long a visitor waits for each thing, in seconds of a machine that nobody else uses."""
    folder.mkdir()
    times = []
    with open_page(run, folder, HF_HUB_OFFLINE="1") as server:
        before = slowness()
        # The port answers by now.
        times.append(time.monotonic())
        tab = visit(browser, server.address)
        times.append(time.monotonic())
        # While the models load a search says how far it is, if it has no answer yet.
        tab.get_by_role("tab", name="Search").click()
        tab.wait_for_selector("#ht-search-out .ht-preparing, #ht-search-out .ht-hits li")
        times.append(time.monotonic())
        tab.wait_for_selector("#ht-search-out .ht-hits li")
        tab.fill("#ht-query textarea", "arılar bal yapar mı")
        loaded = time.monotonic()
        tab.click("#ht-search")
        tab.wait_for_selector("#ht-search-out:has(.ht-hits li):not(:has(.ht-place))")
        times.append(time.monotonic())
        slower = max(before, slowness()) * _WORKERS
        tab.context.close()
    starts = (times[0], times[1], loaded)
    return {name: (end - start) / slower for name, start, end in zip(_LIMITS, starts, times[1:], strict=True)}


def test_the_page_is_usable_at_once_and_the_first_search_is_answered(
    browser: Any, finished: tuple[RunConfig, Any], tmp_path: Path
) -> None:
    visit(browser, "about:blank", wait=False)  # the browser's own start is not the page's
    best = dict.fromkeys(_LIMITS, float("inf"))
    for attempt in range(_ATTEMPTS):
        took = open_and_search(browser, finished[0].output, tmp_path / str(attempt))
        best = {name: min(best[name], took[name]) for name in best}
        if all(best[name] < limit for name, limit in _LIMITS.items()):
            return
    raise AssertionError(best)


# The page says three times that it still encodes its documents, first to the visitor who just came.
_BUSY = """
from hub_tools.space.service import Service
prepared, asked = Service.prepared, []
def busy(service, documents):
    asked.append(documents)
    print("ASKED", len(asked), flush=True)
    return 0 if len(asked) <= 3 else prepared(service, documents)
Service.prepared = busy
"""


def test_a_search_is_asked_again_also_on_a_tab_that_is_opened_late(
    browser: Any, finished: tuple[RunConfig, Any], tmp_path: Path
) -> None:
    with open_page(finished[0].output, tmp_path, before=_BUSY, HF_HUB_OFFLINE="1") as server:
        tab = visit(browser, server.address)
        while "ASKED 1" not in server.log.read_text():
            tab.wait_for_timeout(100)
        tab.wait_for_timeout(3000)
        tab.get_by_role("tab", name="Search").click()
        tab.wait_for_selector("#ht-search-out .ht-hits li")
        tab.context.close()
