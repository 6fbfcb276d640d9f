"""Give a language its own sentence-embedding model: tokenizer surgery, cloning and offline distillation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub_tools.api import adapt_tokenizer, build_corpus, clone, distill, embed, evaluate, train
    from hub_tools.config import RunConfig

__all__ = [
    "RunConfig",
    "__version__",
    "adapt_tokenizer",
    "build_corpus",
    "clone",
    "distill",
    "embed",
    "evaluate",
    "train",
]


def __getattr__(name: str) -> Any:
    # Importing hub_tools must not import torch: names are loaded when they are first used.
    import importlib
    from importlib import metadata

    if name == "__version__":
        return metadata.version("hub-tools")
    if name in __all__:
        return getattr(importlib.import_module("hub_tools.config" if name == "RunConfig" else "hub_tools.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
