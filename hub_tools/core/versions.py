"""Versions of what a result depends on."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib import metadata

_PACKAGES = ("hub-tools", "torch", "transformers", "sentence-transformers", "tokenizers", "datasets", "accelerate")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that a result depends on."""
    numbers = {"python": platform.python_version()} | dict.fromkeys(_PACKAGES, "not installed")
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            numbers[name] = metadata.version(name)
    return numbers
