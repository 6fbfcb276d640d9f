"""Versions of what a result depends on."""

from __future__ import annotations

import platform
from importlib import metadata

_PACKAGES = ("hub-tools", "torch", "transformers", "sentence-transformers", "tokenizers", "datasets", "accelerate")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a result depends on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
