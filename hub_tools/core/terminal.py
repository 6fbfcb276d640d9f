"""Colours on a terminal, and none anywhere else."""

from __future__ import annotations

import os
from typing import Literal, TextIO

Style = Literal["plain", "bold", "dim", "red", "green", "yellow"]
_CODES: dict[Style, int] = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33}


def paint(text: str, style: Style, stream: TextIO) -> str:
    """Return a text in a style, for a stream that shows it: a terminal, where NO_COLOR (no-color.org) is not set."""
    is_shown = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if is_shown and style in _CODES else text


# Seconds below which a time has a digit more.
_QUICK = 10


def duration(seconds: float) -> str:
    """Return a time as people say it: `duration(12.3)` is `12 s`, `duration(754)` is `12 min 34 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {left} min"
    if minutes:
        return f"{minutes} min {rest} s"
    return f"{seconds:.1f} s" if seconds < _QUICK else f"{rest} s"
