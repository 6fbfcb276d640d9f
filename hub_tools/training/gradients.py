"""The gradients of a step, computed in micro-batches that fit into memory, on one process or several.

The micro-batches of a batch give its gradients up to rounding: each adds those of its texts' losses divided by the
number of all texts of the batch. The relational loss compares all texts of the batch with each other. For it, all
vectors are computed first without gradients; the gradients of the loss by the vectors are then propagated through one
micro-batch after the other (GradCache, Gao et al. 2021, arXiv 2101.06983).

Several processes divide a batch: each takes every n-th text, and the gradients are summed. `DistributedDataParallel`
averages the means of unequal parts, and hangs where one process runs out of memory or a weight has no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from hub_tools.config import DistillConfig
from hub_tools.core.distributed import ALONE, Processes
from hub_tools.core.errors import UserError, is_out_of_memory
from hub_tools.core.logging import log
from hub_tools.models.padding import padded_tokens
from hub_tools.training.batching import split_rows
from hub_tools.training.data import TokenizedTexts
from hub_tools.training.losses import batch_loss, per_example_loss

if TYPE_CHECKING:
    from torch import Tensor

    from hub_tools.training.student import Student

T = TypeVar("T")


class GradientComputer:
    """Forward and backward pass of a batch, which the processes divide; `seed` is that of dropout.

    `micro_batch_tokens` padded tokens are computed at once; they are halved whenever memory does not suffice.
    """

    def __init__(
        self,
        student: Student,
        config: DistillConfig,
        *,
        micro_batch_tokens: int,
        seed: int,
        processes: Processes = ALONE,
    ) -> None:
        self.student, self.config, self.processes = student, config, processes
        self.micro_batch_tokens, self.seed = micro_batch_tokens, seed

    def forward_backward(self, texts: TokenizedTexts, batch: NDArray[np.int64], targets: Tensor, *, step: int) -> float:
        """Give each weight the gradient of a batch's mean loss, and return the loss; all processes get the same.

        The batch holds text numbers, sorted by padded length, int64, shape (n,), the targets their vectors, fp32, shape
        (n, dim). The number of the step seeds dropout.

        Raises:
            UserError: memory does not suffice for a single text.
        """
        while (loss := self._try(texts, batch, targets, step)) is None:
            self._shrink_micro_batch(texts.lengths[batch], step)
        loss = self.processes.all_reduce_scalar(loss)
        self.processes.all_reduce_gradients(self.student.model.parameters())
        return loss

    def micro_batches(self, lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Return the positions in a batch, sorted by padded length, that this process computes, in groups that fit."""
        positions = np.arange(len(lengths))[self.processes.rank :: self.processes.world_size]
        return [positions[group] for group in split_rows(lengths[positions], self.micro_batch_tokens)]

    def _shrink_micro_batch(self, lengths: NDArray[np.int64], step: int) -> None:
        """Halve what is computed at once, from now on, because the texts of these lengths were too many."""
        import torch

        self.student.model.zero_grad()
        if len(split_rows(lengths, self.micro_batch_tokens)) == len(lengths):
            raise UserError(
                f"Out of memory with a single text of {lengths.max():,} tokens in step {step + 1}. Give "
                "--gradient-checkpointing, or more memory, and run the same command again."
            )
        self.micro_batch_tokens = min(self.micro_batch_tokens, padded_tokens(lengths)) // 2
        if self.student.device.type == "cuda":
            torch.cuda.empty_cache()
        message = (
            "  out of memory in step %d: from now on %s tokens at a time, each step in as many parts as that takes"
        )
        log.warning(message, step + 1, f"{self.micro_batch_tokens:,}")

    def _try(self, texts: TokenizedTexts, batch: NDArray[np.int64], targets: Tensor, step: int) -> float | None:
        """Compute this process's gradients and share of the loss; None where memory did not suffice."""
        import torch

        parts = self.micro_batches(texts.lengths[batch])

        def forward(part: NDArray[np.int64], *, training: bool = True) -> Tensor:
            return self.student(texts, batch[part], training=training)

        device = self.student.device
        with torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type):
            # Dropout is the same when a step is done again.
            torch.manual_seed(int(np.random.default_rng([self.seed, step, self.processes.rank]).integers(2**62)))
            is_divided = self.processes.world_size > 1 or len(parts) > 1
            if is_divided and self.config.loss == "relational":
                return self._accumulate_cached(forward, targets, parts)
            return self._oom_safe(lambda: self._accumulate(forward, targets, parts))

    def _oom_safe(self, work: Callable[[], T]) -> T | None:
        """Return what `work` returns, or None in all processes if any of them ran out of memory."""
        result = None
        try:
            result = work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        return None if self.processes.any_rank(result is None) else result

    def _accumulate(self, forward: Callable[..., Tensor], targets: Tensor, parts: list[NDArray[np.int64]]) -> float:
        """Add up the gradients of the parts of a batch; the relational loss needs the whole batch as one part."""
        import torch

        self.student.model.zero_grad()
        total = 0.0
        for part in parts:
            predictions = forward(part)
            if self.config.loss == "relational":
                loss = batch_loss(predictions, targets, self.config)
            else:
                loss = per_example_loss(predictions, targets[part], self.config).sum() / len(targets)
            torch.autograd.backward(loss)
            total += float(loss.detach())
        return total

    def _accumulate_cached(
        self, forward: Callable[..., Tensor], targets: Tensor, parts: list[NDArray[np.int64]]
    ) -> float | None:
        """Compute the gradients of a loss of the whole batch part by part."""
        import torch

        def predict() -> Tensor:
            """Return the vectors of this process's texts, and zeros for all others; without dropout."""
            predictions = torch.zeros_like(targets)
            with torch.no_grad():
                for part in parts:
                    predictions[part] = forward(part, training=False)
            return predictions

        def propagate() -> float:
            self.student.model.zero_grad()
            for part in parts:
                torch.autograd.backward((forward(part) * vector_gradients[part]).sum())
            return float(loss.detach()) / self.processes.world_size

        predictions = self._oom_safe(predict)
        if predictions is None:
            return None
        predictions = self.processes.all_reduce(predictions).requires_grad_()
        loss = batch_loss(predictions, targets, self.config)
        (vector_gradients,) = torch.autograd.grad(loss, predictions)
        return self._oom_safe(propagate)
