"""How much memory a model takes while it encodes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def peak_memory(model: SentenceTransformer, encode: Callable[[], object]) -> int:
    """Return the bytes that a model's weights and all that is computed from them take at most in a call of `encode`.

    On CUDA that is what torch's allocator counts. Elsewhere the memory of each tensor is counted from the operation
    that makes it until it is let go of: the same on every machine, and without Python, the libraries and the tokenizer,
    which the resident memory of a process would add.
    """
    import torch

    weights = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in [*model.parameters(), *model.buffers()]
    }
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
        before = torch.cuda.memory_allocated(model.device)
        encode()
        return sum(weights.values()) + torch.cuda.max_memory_allocated(model.device) - before
    return _peak_of_tensors(weights, encode)


def _peak_of_tensors(weights: dict[int, int], encode: Callable[[], object]) -> int:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    held = dict(weights)  # address -> bytes
    peak = sum(held.values())

    # torch leaves its base class, and so what makes one of it, without types.
    class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal peak
            made = func(*args, **(kwargs or {}))
            for tensor in tree_leaves(made):
                if not isinstance(tensor, torch.Tensor):
                    continue
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in held:  # neither a view nor changed in place
                    held[storage.data_ptr()] = storage.nbytes()
                    weakref.finalize(storage, held.pop, storage.data_ptr(), None)
                    peak = max(peak, sum(held.values()))
            return made

    with Counting():  # type: ignore[no-untyped-call] # torch has no types here
        encode()
    return peak
