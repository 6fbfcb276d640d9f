"""How a program meets its terminal: streams that are closed, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

STOPPED = "Stopped. Run the same command again to go on."
_STDERR = 2


def open_missing_streams() -> None:
    """Open /dev/null for each standard stream that the shell closed (`2>&-`).

    Without it, the next file that is opened takes the stream's number, and messages of libraries end up in it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(number, True)
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - stays open until the end


def stop_on_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, and a second one end the process at once, whatever it does by then.

    Nothing is lost either way: a run continues where it was, as after a power cut.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(*_: Any) -> NoReturn:
    signal.signal(signal.SIGINT, _end)
    raise KeyboardInterrupt


def _end(*_: Any) -> NoReturn:
    os.write(_STDERR, f"{STOPPED}\n".encode())
    os._exit(1)
