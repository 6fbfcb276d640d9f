"""The state of a training on disk: the last one, written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_tools.core.files import fsync_file, read_json, write_json

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch.optim import Optimizer

# The last state, and the weights with the best held-out cosine.
CHECKPOINT, BEST = "checkpoint", "best"
_WEIGHTS, _OPTIMIZER, _STATE = "weights.safetensors", "optimizer.pt", "training.json"


def save_best(out: Path, model: SentenceTransformer) -> None:
    """Replace the best weights."""
    _replace(out / BEST, lambda folder: _save_weights(model, folder))


def load_best(out: Path, model: SentenceTransformer) -> None:
    """Put the best weights into the model."""
    _load_weights(model, out / BEST)


def save_checkpoint(out: Path, model: SentenceTransformer, optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Replace the checkpoint.

    Args:
        out: the student's folder.
        model: its weights are kept in fp32, as they are.
        optimizer: with its moments.
        state: plain data; with the number of the step in it, learning rates, data and random numbers are known.
    """
    import torch

    def write(folder: Path) -> None:
        _save_weights(model, folder)
        torch.save(optimizer.state_dict(), folder / _OPTIMIZER)
        write_json(folder / _STATE, state)

    _replace(out / CHECKPOINT, write)


def load_checkpoint(out: Path, model: SentenceTransformer, optimizer: Optimizer) -> dict[str, Any] | None:
    """Put the last checkpoint into model and optimizer, and return its state; None if there is no checkpoint."""
    import torch

    folder = out / CHECKPOINT
    if not folder.exists():
        return None
    _load_weights(model, folder)
    optimizer.load_state_dict(torch.load(folder / _OPTIMIZER, map_location="cpu", weights_only=True))
    return dict(read_json(folder / _STATE))


def recover_interrupted_swap(out: Path) -> None:
    """Restore the old folder where a replacement was cut off between its two renames."""
    for name in (BEST, CHECKPOINT):
        old = out / f"{name}.old"
        if old.exists() and not (out / name).exists():
            old.rename(out / name)


def _replace(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a folder under another name and swap it with the old one; a crash leaves one of them whole."""
    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    write(new)
    for file in new.iterdir():
        fsync_file(file)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _save_weights(model: SentenceTransformer, folder: Path) -> None:
    from safetensors.torch import save_model

    save_model(model, str(folder / _WEIGHTS))


def _load_weights(model: SentenceTransformer, folder: Path) -> None:
    from safetensors.torch import load_model

    load_model(model, str(folder / _WEIGHTS))
