"""How `--student` says what one of several students is; a part of `hub_tools.config`."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from hub_tools.core.errors import UsageError

# Key -> section and field of the configuration.
_KEYS = {
    "layers": ("clone", "layers"),
    "vocab": ("tokenizer", "vocab_size"),
    "static": ("clone", "static"),
    "epochs": ("distill", "epochs"),
}
_EXPECTED = (
    "expected layers=N_OR_LIST, vocab=N_OR_AUTO, epochs=X or static, each once and with commas between them, e.g. "
    "layers=6,vocab=16384"
)


def read_student(spec: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the name of a student and its options by section, values as they were written where they are no numbers.

    `read_student("layers=6,vocab=16384")` is called `layers-6-vocab-16384`.

    Raises:
        UsageError: a key is unknown, without a value or given twice.
    """
    given: dict[str, str] = {}
    for part in re.split(r",(?=\s*[A-Za-z])", spec):  # lists of layers have commas too
        key, equals, value = (text.strip() for text in part.partition("="))
        if key not in _KEYS or key in given or (bool(equals), bool(value)) != (key != "static",) * 2:
            raise UsageError(f"--student {spec}: {_EXPECTED}.")
        given[key] = value
    asked: dict[str, dict[str, Any]] = {}
    for key, (section, name) in _KEYS.items():
        if key in given:
            asked.setdefault(section, {})[name] = True if key == "static" else _value(key, given[key])
    words = (f"{key}-{given[key]}" if given[key] else key for key in _KEYS if key in given)
    return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(words)), asked


def _value(key: str, text: str) -> int | float | str:
    """Return a number where there is one; the configuration refuses what it cannot take."""
    if key == "vocab" and text.isdecimal():
        return int(text)
    with suppress(ValueError):
        return float(text) if key == "epochs" else text
    return text
