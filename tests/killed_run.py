"""A command as a program that is killed again and again: python -m tests.killed_run FOLDER PATH... -- ARGUMENTS.

For each PATH a process begins the command anew and is killed as soon as FOLDER/PATH exists. It writes how each of them
ended, which is -9.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from pathlib import Path

from hub_tools.cli import run

# Forked, because imports take longer than the work.
_HEAVY = (
    "accelerate",
    "datasets",
    "hub_tools.pipeline",
    "sentence_transformers.sentence_transformer.modules",
    "transformers.models.bert.modeling_bert",
)


def kill_when(path: Path, seconds: float = 200) -> int:
    """Begin the command, and return how it ended; 0 is an end before the path was seen."""
    child = os.fork()
    if child == 0:
        run()
        os._exit(0)
    deadline = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    cut = sys.argv.index("--")
    folder, *paths = sys.argv[1:cut]
    sys.argv = ["hub-distill", *sys.argv[cut + 1 :]]
    for name in _HEAVY:
        importlib.import_module(name)
    for path in paths:
        sys.stdout.write(f"{path} {kill_when(Path(folder) / path)}\n")
        sys.stdout.flush()
