"""The training loop: steps of a fixed number of tokens, evaluations, and checkpoints.

fp32 weights, bf16 autocast where it is faster, AdamW, warm-up, clipped gradients. A step's learning rates, texts and
random numbers follow from its number alone, so a checkpoint needs nothing but weights, moments and that number.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cached_property
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.config import STEP_TOKENS, DistillConfig
from hub_tools.core.distributed import ALONE, Processes
from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import bar, board, log
from hub_tools.models.padding import padded_tokens
from hub_tools.results import Agreement
from hub_tools.training import checkpoint
from hub_tools.training.batching import epoch_batches
from hub_tools.training.gradients import GradientComputer
from hub_tools.training.heldout import agreement_in, measure_heldout
from hub_tools.training.losses import per_example_loss
from hub_tools.training.schedule import (
    LearningRates,
    default_learning_rate,
    default_steps,
    is_near,
    learning_rates,
)
from hub_tools.training.student import Student
from hub_tools.vectors.agreement import nearness

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

    from hub_tools.training.data import TrainingSet

# How many texts an error names.
_NAMED_TEXTS = 3
_Numbers = NDArray[np.int64]


class Trainer:
    """The state of one training, and the loop over it.

    A training that was killed continues from its last checkpoint to the same bits. `micro_batch_tokens`,
    `gradient_checkpointing`, `compile` and `tensorboard` may have other values in the continuation. `tensorboard` and,
    on a CPU, `gradient_checkpointing` change no bit, nor does `micro_batch_tokens` where no step is divided (None, or
    as much as `batch_tokens`); smaller micro-batches and `compile` give the same weights up to rounding.

    The model, the clone, is trained in place, on the device where it is; how it orders `heldout` texts chooses the
    best weights. `out` is the folder of the student, where a checkpoint is continued.

    Raises:
        UserError: the options do not fit the model or the number of steps.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        train_set: TrainingSet,
        heldout: TrainingSet,
        out: Path,
        config: DistillConfig,
        *,
        hardware: Hardware,
        seed: int,
        processes: Processes = ALONE,
    ) -> None:
        import torch

        self.train_set, self.heldout, self.out = train_set, heldout, out
        self.config, self.hardware, self.seed, self.processes = config, hardware, seed, processes
        self.batch_tokens = config.batch_tokens or STEP_TOKENS[hardware.device]
        self._repeats = train_set.repeats(
            config.parallel_sampling_alpha, config.source_fraction, config.language_sampling_alpha
        )
        check_matryoshka(config.matryoshka, train_set.targets.shape[1])
        if halves := [name for name, weight in model.named_parameters() if weight.dtype != torch.float32]:
            raise TypeError(f"weights, and so their moments, have to be fp32 in training: {halves[0]} is not")
        self.student = Student(model, config, hardware)
        groups = [{"params": [self.student.token_embeddings]}, {"params": self.student.backbone_params}]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=hardware.device != "mps")
        at_once = config.micro_batch_tokens or self.batch_tokens
        self.gradients = GradientComputer(
            self.student, config, micro_batch_tokens=at_once, seed=seed, processes=processes
        )
        # An entry for each evaluation: `step`, the fields of an `Agreement` (`cosine` alone, None, without held-out
        # text), mean `loss` since the entry before (the first has none), and `learning_rate` of the token embeddings.
        self.history: list[dict[str, Any]] = []
        self.step, self.tokens, self.seconds = 0, 0, 0.0

    @property
    def is_near(self) -> bool:
        """Whether the clone is so near its goal that a long training would do more harm than good.

        It is known from the first evaluation on.
        """
        return is_near(self.history[0]["cosine"])

    @cached_property
    def steps(self) -> int:
        """Steps of the whole training; the default depends on the first evaluation.

        Raises:
            UserError: they are no more than those in which only the token embeddings learn.
        """
        steps = self.config.steps or default_steps(len(self.epoch(0)), self.config.epochs, self.history[0]["cosine"])
        if (first := self.config.embedding_only_steps) >= steps:
            raise UserError(f"--embedding-only-steps {first} leaves none of the {steps} steps for all other weights.")
        return steps

    @property
    def learning_rate(self) -> float:
        """Highest learning rate of the token embeddings; the default depends on the first evaluation."""
        before = self.history[0]["cosine"] if self.history else None
        hidden = self.student.token_embeddings.shape[1]
        return self.config.learning_rate or default_learning_rate(hidden, self.steps, before)

    @property
    def best(self) -> dict[str, Any]:
        """The entry of the history that is nearest to the goal on held-out text, or the last without such text."""
        measured = [(found, entry) for entry in self.history if (found := agreement_in(entry))]
        return max(measured, key=lambda pair: nearness(pair[0]))[1] if measured else self.history[-1]

    def train(self) -> None:
        """Take the steps that are left."""
        self.resume()
        if not self.history:
            self.evaluate_and_checkpoint()
        folder = self.out / "tensorboard" if self.config.tensorboard and self.processes.is_main else None
        start = time.monotonic() - self.seconds
        with board(folder, self.step) as record, bar("steps", self.steps, " steps", done=self.step) as progress:
            losses = []
            for batch in self.batches():
                rate = self.learning_rates(self.step).embeddings
                loss = self.take_step(batch)
                losses.append(loss)
                self.seconds = time.monotonic() - start
                speed, cosine = self.tokens / self.seconds, _shown(self.history[-1]["cosine"])
                progress.set_postfix_str(
                    f"loss {loss:.4f}, rate {rate:.1e}, {speed:,.0f} tokens/s, cosine {cosine}", refresh=False
                )
                progress.update()
                values = {"loss": loss, "rate": rate, "speed": speed}
                if self.step % self.config.eval_steps == 0 or self.step == self.steps:
                    self.evaluate_and_checkpoint(loss=float(np.mean(losses)))
                    losses = []
                    if len(self.heldout):
                        values["cosine"] = self.history[-1]["cosine"]
                record(self.step, values)

    def batches(self) -> Iterator[_Numbers]:
        """Return the batches of text numbers from the current position to the last step, across epochs."""
        return islice(chain.from_iterable(map(self.epoch, count())), self.step, self.steps)

    def epoch(self, number: int) -> list[_Numbers]:
        """Return all batches of a pass through the data."""
        return epoch_batches(self.train_set.texts.lengths, self.batch_tokens, self.seed, number, self._repeats)

    def learning_rates(self, step: int) -> LearningRates:
        """Return the learning rates of a step, counted from 0."""
        return learning_rates(step, self.steps, self.learning_rate, self.config)

    def take_step(self, batch: _Numbers) -> float:
        """Move the weights once, and return the loss that a batch, sorted by padded length, had before that.

        Raises:
            UserError: the loss or its gradient is not finite, or memory does not suffice for a single text.
        """
        import torch

        for parameter in self.student.backbone_params:
            parameter.requires_grad_(self.step >= self.config.embedding_only_steps)
        for group, rate in zip(self.optimizer.param_groups, self.learning_rates(self.step), strict=True):
            group["lr"] = rate
        targets = self._targets(self.train_set, batch)
        loss = self.gradients.forward_backward(self.train_set.texts, batch, targets, step=self.step)
        norm = torch.nn.utils.clip_grad_norm_(self.student.model.parameters(), self.config.max_grad_norm)
        if not math.isfinite(loss) or not math.isfinite(float(norm)):
            raise self._not_finite(batch, targets)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.tokens += padded_tokens(self.train_set.texts.lengths[batch])
        return loss

    def _not_finite(self, batch: _Numbers, targets: Tensor) -> UserError:
        """Return an error that names the texts which have no finite loss, or else those of the batch."""
        import torch

        texts, decode, bad = self.train_set.texts, self.student.model.tokenizer.decode, []
        with torch.inference_mode():
            for number, target in zip(batch, targets, strict=True):
                prediction = self.student(texts, np.array([number]), training=False)
                if not per_example_loss(prediction, target[None], self.config).isfinite().all():
                    bad.append(number)
        numbers = bad or list(batch)
        named = [decode(texts[number].tolist(), skip_special_tokens=True) for number in numbers[:_NAMED_TEXTS]]
        return UserError(
            f"The loss or its gradient is not finite in step {self.step + 1} with {len(numbers)} texts, among them "
            f"{', '.join(repr(text[:100]) for text in named)}. Lower --learning-rate or use --precision fp32, then run "
            "the same command again."
        )

    def _targets(self, data: TrainingSet, numbers: _Numbers) -> Tensor:
        import torch

        vectors = data.targets[data.target_index[numbers]].astype(np.float32)
        return torch.from_numpy(vectors).to(self.student.device)

    def evaluate_and_checkpoint(self, *, loss: float | None = None) -> None:
        """Measure the student on held-out text, keep the weights if they are the best, and write a checkpoint.

        `loss` is the mean over the steps since the last evaluation; None before the first step.
        """
        found = self.measure_heldout()
        entry = {"step": self.step, **(asdict(found) if found else {"cosine": None})}
        entry |= {} if loss is None else {"loss": loss}
        self.history.append(entry)
        entry["learning_rate"] = self.learning_rates(self.step).embeddings  # depends on the first entry
        if self.processes.is_main:
            if self.best is entry:
                checkpoint.save_best(self.out, self.student.model)
            state = {"step": self.step, "tokens": self.tokens, "seconds": self.seconds, "history": self.history}
            checkpoint.save_checkpoint(self.out, self.student.model, self.optimizer, state)
            log.debug("  step %d of %d: %s", self.step, self.steps, described(found))
        self.processes.barrier()

    def measure_heldout(self) -> Agreement | None:
        """Return how near the student is to its goal on held-out texts; None if there are none."""
        return self._measure(self.student, self.heldout)

    def measure_other(self, model: SentenceTransformer, heldout: TrainingSet) -> Agreement | None:
        """Return how near another model is to the same goal, on the same texts as its tokenizer cuts them."""
        return self._measure(Student(model, replace(self.config, compile=False), self.hardware), heldout)

    def _measure(self, student: Student, heldout: TrainingSet) -> Agreement | None:
        batch_tokens = min(self.batch_tokens, self.gradients.micro_batch_tokens)
        return measure_heldout(student, heldout, batch_tokens=batch_tokens, processes=self.processes)

    def resume(self) -> None:
        """Continue from the last checkpoint, if there is one."""
        if self.processes.is_main:
            checkpoint.recover_interrupted_swap(self.out)
        self.processes.barrier()
        state = checkpoint.load_checkpoint(self.out, self.student.model, self.optimizer)
        if state is None:
            return
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        self.history = state["history"]
        log.info("  continuing at step %d of %d", self.step, self.steps)


def check_matryoshka(parts: tuple[int, ...], dim: int, option: str = "--matryoshka") -> None:
    """Raise a UserError if a leading part of the vectors is longer than they are."""
    if parts and max(parts) > dim:
        raise UserError(f"{option} {max(parts)}: the teacher's vectors have only {dim} numbers.")


def described(found: Agreement | None) -> str:
    """Say how near a model is to its goal on held-out text."""
    if found is None:
        return "not measured, there is no held-out text"
    return f"on held-out text cosine {found.cosine:.4f}, similarities ranked {100 * found.ranks:.1f} of 100"


def _shown(cosine: float | None) -> str:
    return "not measured" if cosine is None else f"{cosine:.4f}"
