"""Give a language its own sentence-embedding model: tokenizer surgery, cloning and offline distillation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub_tools.config import RunConfig
    from hub_tools.pipeline import run

__all__ = ["RunConfig", "__version__", "run"]
_HOMES = {"RunConfig": "hub_tools.config", "run": "hub_tools.pipeline"}


def __getattr__(name: str) -> Any:
    # Importing hub_tools must not import torch: names are loaded when first used.
    import importlib
    from importlib import metadata

    if name == "__version__":
        return metadata.version("hub-tools")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
