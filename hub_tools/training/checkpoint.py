"""The state of a training on disk: the last one, written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from hub_tools.core.errors import UserError, is_out_of_memory
from hub_tools.core.files import fsync_file, read_json, write_json

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch.optim import Optimizer

# The last state, and the weights that are best on held-out text.
CHECKPOINT, BEST = "checkpoint", "best"
_WEIGHTS, _OPTIMIZER, _STATE = "weights.safetensors", "optimizer.pt", "training.json"


def save_best(out: Path, model: SentenceTransformer) -> None:
    """Replace the best weights."""
    from safetensors.torch import save_model

    with _replacing(out / BEST) as folder:
        save_model(model, str(folder / _WEIGHTS))


def load_best(out: Path, model: SentenceTransformer) -> None:
    """Put the best weights into the model."""
    from safetensors.torch import load_model

    with _damage_named(out / BEST):
        load_model(model, str(out / BEST / _WEIGHTS))


def save_checkpoint(out: Path, model: SentenceTransformer, optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Replace the checkpoint: fp32 weights, the optimizer's moments, and a state of plain data."""
    import torch
    from safetensors.torch import save_model

    with _replacing(out / CHECKPOINT) as folder:
        save_model(model, str(folder / _WEIGHTS))
        torch.save(optimizer.state_dict(), folder / _OPTIMIZER)
        write_json(folder / _STATE, state)


def load_checkpoint(out: Path, model: SentenceTransformer, optimizer: Optimizer) -> dict[str, Any] | None:
    """Put the last checkpoint into model and optimizer, and return its state; None if there is no checkpoint."""
    import torch
    from safetensors.torch import load_model

    folder = out / CHECKPOINT
    if not folder.exists():
        return None
    with _damage_named(folder):
        load_model(model, str(folder / _WEIGHTS))
        optimizer.load_state_dict(torch.load(folder / _OPTIMIZER, map_location="cpu", weights_only=True))
        return dict(read_json(folder / _STATE))


def recover_interrupted_swap(out: Path) -> None:
    """Restore the old folder where a replacement was cut off between its two renames."""
    for name in (BEST, CHECKPOINT):
        old = out / f"{name}.old"
        if old.exists() and not (out / name).exists():
            old.rename(out / name)


@contextmanager
def _damage_named(folder: Path) -> Iterator[None]:
    """Raise a UserError that names a state which cannot be read."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, RuntimeError, UnpicklingError, EOFError, ValueError, KeyError) as error:
        if is_out_of_memory(error):
            raise
        raise UserError(
            f"{folder} is damaged ({type(error).__name__}). Delete {folder.parent} and run the same command again: the "
            "training begins from the start."
        ) from error


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Yield a new folder and swap it with the old one once it is written; a crash leaves one of them whole."""
    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    yield new
    for file in new.iterdir():
        fsync_file(file)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
