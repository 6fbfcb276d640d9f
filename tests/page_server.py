"""The page in a process of its own, as visitors meet it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fake_hub import FakeHub

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_PROBE = 0.3  # seconds of a processor
needs_browser = pytest.mark.skipif(
    _CHROMIUM is None, reason="there is no chromium; on Debian: apt-get install chromium"
)
# It says so when it asks any other machine for anything, and how many processes for data from outside run at once.
_SERVER = """
import socket, subprocess, sys, threading
from pathlib import Path
connect = socket.socket.connect
def watched(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "localhost", "::1"):
        print("OUTGOING", address, flush=True)
    return connect(self, address)
socket.socket.connect = watched
run, running, lock = subprocess.run, [], threading.Lock()
def counted(command, **options):
    with lock:
        running.append(command)
        print("RUNNING", len(running), flush=True)
    try:
        return run(command, **options)
    finally:
        running.remove(command)
from hub_tools.space import gate, sandbox, upkeep
sandbox.subprocess.run = counted
exec(sys.argv[3])
from hub_tools.space.app import launch
from hub_tools.space.service import Service
from hub_tools.space.content import from_run
launch(Service(from_run(Path(sys.argv[1]))), port=int(sys.argv[2]))
"""


# What lies in the folder that a page is started in.
DIARY = "dear diary, nobody may read this"


@dataclass(frozen=True)
class Page:
    """A page that runs."""

    address: str
    log: Path  # what it printed
    process: subprocess.Popen[bytes]

    def megabytes(self) -> float:
        """Memory that it holds."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6


@contextmanager
def open_page(run: Path, folder: Path, *, before: str = "", cwd: Path | None = None, **env: str) -> Iterator[Page]:
    """Show a finished run, after some code ran in the page's process; its temporary files are in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", _SERVER, str(run), str(port), before]
    log = folder / "log.txt"
    env = {**os.environ, "TMPDIR": str(folder), **env}
    with (
        log.open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=cwd) as server,
    ):
        try:
            end = time.monotonic() + 2.5 * patience() / 1000
            while f"http://127.0.0.1:{port}" not in log.read_text():
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.2)
            yield Page(f"http://127.0.0.1:{port}/", log, server)
        finally:
            server.terminate()


def slowness() -> float:
    """Return how much longer work takes here now than the processor needs for it: 1 where nobody else works."""
    start, used = time.monotonic(), time.process_time()
    while time.process_time() - used < _PROBE:
        sum(range(1000))
    return max(1, (time.monotonic() - start) / _PROBE)


@cache
def patience() -> float:
    """Return after how many milliseconds a page that does not answer is broken and not only slow."""
    return 120_000 * slowness()


@contextmanager
def open_browser() -> Iterator[Any]:
    """Start a real browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=arguments)
        yield browser
        browser.close()


def visit(browser: Any, address: str, *, wait: bool = True, **options: Any) -> Any:
    """A visitor's page, with everything it asks other machines for in `outside`; its tokens are there if it waits."""
    context = browser.new_context(**{"locale": "en-US", "viewport": {"width": 1280, "height": 900}, **options})
    tab = context.new_page()
    tab.set_default_timeout(patience())
    tab.outside = []
    tab.on(
        "request",
        lambda r: tab.outside.append(r.url) if not r.url.startswith((address[:16], "data:", "blob:")) else None,
    )
    tab.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    tab.goto(address)
    if wait:
        tab.wait_for_selector("#ht-tokens-out .ht-piece, #ht-tokens-out .ht-problem", state="attached")
    return tab


def add_dataset(hub: FakeHub, folder: Path, readme: str = "", *, repo: str = "bob/texts") -> None:
    """Add a dataset of one text to a Hub, with settings in its README."""
    folder.mkdir()
    (folder / "train.csv").write_text("id,text\n1,a public text\n")
    if readme:
        (folder / "README.md").write_text(f"---\n{readme}\n---\n")
    hub.add("dataset", repo, folder)
