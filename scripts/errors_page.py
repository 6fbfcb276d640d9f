"""Print docs/errors.md, from the tables of messages in `core/errors.py` and `hub/hub_errors.py`.

usage: python scripts/errors_page.py > docs/errors.md
"""

from __future__ import annotations

import errno
import os
import sys
from http import HTTPStatus

from hub_tools.core.errors import explain
from hub_tools.core.hub_errors import OTHER_STATUS, SENTENCES, STATUS, TROUBLE

# What is asked of the Hub, and what it said, where a message has a place for it.
_PLACES = {
    "subject": "SUBJECT",
    "detail": "WHAT THE HUB SAID.",
    "status": "STATUS",
    "wait": " It asks to wait N seconds.",
}
_CAUSES = {
    "The disk is full": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "FILE"),
    "A path that may not be used": PermissionError(errno.EACCES, os.strerror(errno.EACCES), "FILE"),
    "A file that is not there": FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "FILE"),
    "Too little memory": MemoryError(),
}


def errors_page() -> str:
    """Return docs/errors.md."""
    lines = [
        "# Errors and their causes",
        "",
        "A message of hub-distill says what was expected, what came and how to correct it, on stderr. The exit",
        "code is 0 where all is done, 1 after one such message, 2 where the command line or the file for",
        "`--config` is wrong. A traceback is a defect: please report it. When the cause is gone, run the same",
        "command again: finished stages are kept.",
        "",
        "Written by `python scripts/errors_page.py > docs/errors.md`, from the tables that the messages come from.",
        "",
        "## This machine",
        "",
        "| cause | message |",
        "|---|---|",
        *(f"| {cause} | {explain(error)} |" for cause, error in _CAUSES.items()),
        "",
        "## The Hub: what its client says",
        "",
        "SUBJECT is what was asked for, such as `teacher 'org/model'`. Several exceptions may mean the same.",
        "",
        "| exception | message |",
        "|---|---|",
    ]
    sentences: dict[str, list[str]] = {}
    for name, sentence in SENTENCES.items():
        sentences.setdefault(sentence, []).append(f"`{name}`")
    lines += [f"| {', '.join(names)} | {sentence.format(**_PLACES)} |" for sentence, names in sentences.items()]
    lines += ["", "## The Hub: its answers", "", "| status | message |", "|---|---|"]
    lines += [
        f"| {code} {HTTPStatus(code).phrase} | {sentence.format(**_PLACES)} |" for code, sentence in STATUS.items()
    ]
    lines += [
        f"| 500 and more | {TROUBLE.format(**_PLACES)} |",
        f"| any other | {OTHER_STATUS.format(**_PLACES)} |",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(errors_page())
