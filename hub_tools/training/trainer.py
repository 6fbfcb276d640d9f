"""The training loop: steps of a fixed number of tokens, in as many parts as memory asks for.

fp32 weights, bf16 autocast where it is faster, AdamW, warm-up, clipped gradients. A step's learning rates, texts and
random numbers follow from its number alone, so a checkpoint needs nothing but weights, moments and that number.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hub_tools.config import STEP_TOKENS, DistillConfig
from hub_tools.core.errors import UserError, is_out_of_memory
from hub_tools.core.files import write_json
from hub_tools.core.hardware import Hardware, autocast
from hub_tools.core.logging import bar, board, log
from hub_tools.models.loading import (
    SAFE,
    LoadPolicy,
    backbone,
    is_static,
    load_model,
    prepare_for_speed,
    save_model,
    token_rows,
)
from hub_tools.models.padding import join, pad, padded_tokens
from hub_tools.training import checkpoint
from hub_tools.training.batching import epoch_batches, split_rows
from hub_tools.training.losses import batch_loss, text_losses
from hub_tools.training.team import Team

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

    from hub_tools.training.data import Examples

# Learning rate for a hidden size of 384, so many steps and a clone so far (1 - cosine) from the teacher; all measured
# (docs/results.md).
_BASE_RATE, _BASE_HIDDEN, _BASE_STEPS, _BASE_DISTANCE = 1e-3, 384, 1200, 0.2
_NAMED_TEXTS = 3
_Rows = NDArray[np.int64]
_Result = TypeVar("_Result")


def share_of_peak(step: int, steps: int, config: DistillConfig) -> float:
    """The learning rate of a step as a share of the peak.

    Args:
        step: counted from 0.
        steps: how many there are in all.
        config: warm-up and schedule.
    """
    rising = round(config.warmup_ratio * steps)
    if step < rising:
        return step / rising
    done = (step - rising) / max(1, steps - rising)
    return 1 - done if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def default_rate(hidden: int, steps: int, cosine: float) -> float:
    """Peak learning rate of the token embeddings where none is given.

    A short training has no time to mend what large steps break at first, and near the goal they break more than they
    bring; so it falls with the fourth root of the steps below 1,200, and with the distance to the goal below 0.2.

    Args:
        hidden: size of a token embedding; wider models take less in proportion.
        steps: how many there are in all.
        cosine: held-out cosine before the training, 0 where there is no held-out text.
    """
    length = math.pow(min(1.0, steps / _BASE_STEPS), 0.25)
    # Not quite to 0: a clone that is the teacher itself still trains.
    distance = min(1.0, max(1 - cosine, 0.01) / _BASE_DISTANCE)
    return _BASE_RATE * _BASE_HIDDEN / hidden * length * distance


class Trainer:
    """The state of one training, and the loop over it.

    Args:
        model: the clone; it is trained in place.
        data: the texts to train on.
        heldout: texts whose mean cosine chooses the best weights.
        out: folder of the student; a checkpoint in it is continued.
        config: how to train.
        hardware: where to train.
        seed: of the order of the texts.
        team: the processes that train together.

    Raises:
        UserError: the options do not fit the model or the number of steps.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        data: Examples,
        heldout: Examples,
        out: Path,
        config: DistillConfig,
        *,
        hardware: Hardware,
        seed: int,
        team: Team,
    ) -> None:
        import torch

        self.model, self.data, self.heldout, self.out = model, data, heldout, out
        self.config, self.hardware, self.seed, self.team = config, hardware, seed, team
        prepare_for_speed(model, hardware)
        self.batch_tokens = config.batch_tokens or STEP_TOKENS[hardware.device]
        self.repeats = data.repeats(
            config.parallel_sampling_alpha, config.source_fraction, config.language_sampling_alpha
        )
        self.total = config.steps or max(1, math.ceil(config.epochs * len(self._epoch(0))))
        _check_options(config, self.total, data.vectors.shape[1])
        rows = token_rows(model)
        self.history: list[dict[str, float]] = []
        self.rest = [part for part in model.parameters() if part is not rows and part.requires_grad]
        groups = [{"params": [rows]}, {"params": self.rest}]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=hardware.device != "mps")
        # Layers that are computed again in the backward pass instead of being kept.
        self.again = _checkpointed_layers(model) if config.gradient_checkpointing else []
        if config.compile:
            # Not Module.compile: sentence-transformers calls `forward`, which that leaves as it is.
            inside = backbone(model)
            inside.forward = torch.compile(inside.forward, dynamic=True)
        self.most_tokens = config.micro_batch_tokens or self.batch_tokens
        self.step, self.tokens, self.seconds = 0, 0, 0.0

    @property
    def rate(self) -> float:
        """Peak learning rate of the token embeddings."""
        before = self.history[0]["cosine"] if self.history else 0.0
        return self.config.learning_rate or default_rate(token_rows(self.model).shape[1], self.total, before)

    def train(self) -> None:
        """Take the steps that are left."""
        self._resume()
        if not self.history:
            self._look(loss=float("nan"))
        folder = self.out / "tensorboard" if self.config.tensorboard and self.team.leads else None
        begun, spent = time.monotonic(), self.seconds
        with (
            board(folder, self.step) as record,
            bar("steps", self.total, " steps", done=self.step) as progress,
        ):
            losses = []
            for batch in self._batches():
                losses.append(self._take_step(batch))
                self.seconds = spent + time.monotonic() - begun
                now = {"loss": losses[-1], "rate": self._rates(self.step - 1)[0], "speed": self.tokens / self.seconds}
                shown = "loss {loss:.4f}, cosine {cosine:.4f}, rate {rate:.1e}, {speed:,.0f} tokens/s"
                progress.set_postfix_str(shown.format(**now, cosine=self.history[-1]["cosine"]), refresh=False)
                progress.update()
                if self.step % self.config.eval_steps == 0 or self.step == self.total:
                    self._look(loss=float(np.mean(losses)))
                    losses, now["cosine"] = [], self.history[-1]["cosine"]
                record(self.step, now)

    def _batches(self) -> Iterator[_Rows]:
        """Batches of text numbers from the current position to the last step, across epochs."""
        position, epoch = self.step, 0
        while self.step < self.total:
            batches = self._epoch(epoch)
            for batch in batches[position:]:
                if self.step == self.total:
                    return
                yield batch
            position, epoch = max(0, position - len(batches)), epoch + 1

    def _epoch(self, epoch: int) -> list[_Rows]:
        return epoch_batches(self.data.texts.lengths, self.batch_tokens, self.seed, epoch, self.repeats)

    def _rates(self, step: int) -> tuple[float, float]:
        """Learning rates of the token embeddings and of all other weights in a step, counted from 0."""
        first = self.config.embedding_only_steps
        if step < first:
            return (self.config.embedding_lr or self.rate) * share_of_peak(step, first, self.config), 0.0
        share = share_of_peak(step - first, self.total - first, self.config)
        return self.rate * share, self.rate * self.config.backbone_lr_scale * share

    def _take_step(self, batch: _Rows) -> float:
        """Move the weights once; the loss of the batch before that."""
        import torch

        for parameter in self.rest:
            parameter.requires_grad_(self.step >= self.config.embedding_only_steps)
        for group, rate in zip(self.optimizer.param_groups, self._rates(self.step), strict=True):
            group["lr"] = rate
        wanted = self._wanted(self.data, batch)
        while (own := self._gradients(batch, wanted)) is None:
            self._halve(batch)
        loss = self.team.total(own)
        self.team.add_gradients(self.model.parameters())
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        if not math.isfinite(loss) or not math.isfinite(float(norm)):
            raise self._not_finite(batch, wanted)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += padded_tokens(self.data.texts.lengths[batch])
        return loss

    def _gradients(self, batch: _Rows, wanted: Tensor) -> float | None:
        """Compute the gradients of the mean loss over a batch, part by part; None where memory did not suffice.

        Returns:
            This process's share of the loss. The sums over the processes are those of the whole batch.
        """
        import torch

        # Dropout is the same when a step is done again.
        torch.manual_seed(int(np.random.default_rng([self.seed, self.step, self.team.rank]).integers(2**62)))
        parts = self._parts(batch)
        alone = self.team.size == len(parts) == 1
        if alone or self.config.loss != "relational":
            return self._attempt(lambda: self._backward(batch, wanted, parts, alone=alone))
        # Similarities are those of the whole batch: first all vectors, then the gradients through each part (Gao et
        # al. 2021, arXiv 2101.06983).
        found = self._attempt(lambda: self._vectors(batch, wanted, parts))
        if found is None:
            return None
        found = self.team.add(found).requires_grad_()
        loss = batch_loss(found, wanted, self.config)
        (slopes,) = torch.autograd.grad(loss, found)
        done = self._attempt(lambda: self._backward_through(batch, slopes, parts))
        return None if done is None else float(loss.detach()) / self.team.size

    def _parts(self, batch: _Rows) -> list[_Rows]:
        """Positions in the batch that this process computes, in groups that fit into memory."""
        own = np.arange(len(batch))[self.team.rank :: self.team.size]
        return [own[group] for group in split_rows(self.data.texts.lengths[batch[own]], self.most_tokens)]

    def _attempt(self, work: Callable[[], _Result]) -> _Result | None:
        """What work gives, or None where it was too much for the memory of any process of the team."""
        result = None
        try:
            result = work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        return None if self.team.any(result is None) else result

    def _backward(self, batch: _Rows, wanted: Tensor, parts: list[_Rows], *, alone: bool) -> float:
        import torch

        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for part in parts:
            found = self._forward(self.data, batch[part], training=True)
            if alone:
                loss = batch_loss(found, wanted, self.config)
            else:
                loss = text_losses(found, wanted[part], self.config).sum() / len(batch)
            torch.autograd.backward(loss)
            total += float(loss.detach())
        return total

    def _vectors(self, batch: _Rows, wanted: Tensor, parts: list[_Rows]) -> Tensor:
        """Vectors of this process's texts, zero for all others; like all similarities without dropout."""
        import torch

        found = torch.zeros_like(wanted)
        with torch.no_grad():
            for part in parts:
                found[part] = self._forward(self.data, batch[part], training=False)
        return found

    def _backward_through(self, batch: _Rows, slopes: Tensor, parts: list[_Rows]) -> bool:
        """Take the gradients of the loss by the vectors on to the weights."""
        import torch

        self.optimizer.zero_grad(set_to_none=True)
        for part in parts:
            torch.autograd.backward((self._forward(self.data, batch[part], training=True) * slopes[part]).sum())
        return True

    def _halve(self, batch: _Rows) -> None:
        import torch

        self.optimizer.zero_grad(set_to_none=True)
        lengths = self.data.texts.lengths[batch]
        if len(split_rows(lengths, self.most_tokens)) == len(batch):
            raise UserError(
                f"Out of memory with a single text of {lengths.max():,} tokens in step {self.step + 1}. Give "
                "--gradient-checkpointing, or more memory, and run the same command again."
            )
        self.most_tokens = min(self.most_tokens, padded_tokens(lengths)) // 2
        if self.hardware.device == "cuda":
            torch.cuda.empty_cache()
        log.warning(
            "  out of memory in step %d: from now on %s tokens at a time, each step in as many parts as that takes",
            self.step + 1,
            f"{self.most_tokens:,}",
        )

    def _not_finite(self, batch: _Rows, wanted: Tensor) -> UserError:
        """An error that names the texts which have no finite loss, or else those of the batch."""
        import torch

        bad = []
        with torch.inference_mode():
            for place, row in enumerate(batch):
                found = self._forward(self.data, batch[place : place + 1], training=False)
                if not torch.isfinite(text_losses(found, wanted[place : place + 1], self.config)).all():
                    bad.append(row)
        rows = bad or list(batch)
        decode = self.model.tokenizer.decode
        texts = [decode(self.data.texts[row].tolist(), skip_special_tokens=True) for row in rows[:_NAMED_TEXTS]]
        return UserError(
            f"The loss or its gradient is not finite in step {self.step + 1} with {len(rows)} texts, among them "
            f"{', '.join(repr(text[:100]) for text in texts)}. Lower --learning-rate or use --precision fp32, then run "
            "the same command again."
        )

    def _wanted(self, data: Examples, rows: _Rows) -> Tensor:
        import torch

        return torch.from_numpy(data.vectors[data.label[rows]].astype(np.float32)).to(self.team.device)

    def _forward(self, data: Examples, rows: _Rows, *, training: bool) -> Tensor:
        """The student's vectors of some texts, fp32, shape (texts, dim)."""
        self.model.train(training and self.config.dropout)
        for layer in self.again:
            layer.training = training  # of the layer alone: whether its parts drop anything was said above
        try:
            with autocast(self.hardware):
                found: Tensor = self.model(self._features(data, rows))["sentence_embedding"]
                # As `encode` does for a model that names a truncate_dim.
                return found.float()[:, : self.model.truncate_dim]
        except Exception as error:
            if self.config.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                reason = str(error).strip().partition("\n")[0]
                raise UserError(
                    f"--compile: torch could not compile the model ({reason}). Install a C++ compiler (g++) and "
                    "Python's headers, or leave --compile out."
                ) from error
            raise

    def _features(self, data: Examples, rows: _Rows) -> dict[str, Tensor]:
        import torch

        texts = [data.texts[row] for row in rows]
        if is_static(self.model):
            ids, offsets = join(texts)
            found = {"input_ids": ids, "offsets": offsets}
        else:
            ids, mask = pad(texts, data.texts.pad_id)
            found = {"input_ids": ids, "attention_mask": mask}
        return {name: torch.from_numpy(values).to(self.team.device) for name, values in found.items()}

    def _look(self, *, loss: float) -> None:
        """Measure the held-out cosine, keep the weights if they are the best, write a checkpoint."""
        cosine = self._heldout_cosine()
        best = max((entry["cosine"] for entry in self.history), default=-2.0)
        entry = {"step": self.step, "cosine": cosine} | ({} if math.isnan(loss) else {"loss": loss})
        self.history.append(entry)
        entry["learning_rate"] = self._rates(self.step)[0]  # needs the first entry
        if self.team.leads:
            if len(self.heldout.label) == 0 or cosine > best:
                checkpoint.save_best(self.out, self.model)
            state = {"step": self.step, "tokens": self.tokens, "seconds": self.seconds, "history": self.history}
            checkpoint.save_checkpoint(self.out, self.model, self.optimizer, state)
            log.info("  step %d of %d: held-out cosine %.4f", self.step, self.total, cosine)
        self.team.wait()

    def _heldout_cosine(self) -> float:
        """Mean cosine between the student's and the teacher's vectors of held-out texts (0 if there are none)."""
        import torch

        most = min(self.batch_tokens, self.most_tokens)
        total = 0.0
        for batch in epoch_batches(self.heldout.texts.lengths, most, self.seed, 0)[self.team.rank :: self.team.size]:
            with torch.inference_mode():
                found = self._heldout_vectors(batch)
            total += float(torch.nn.functional.cosine_similarity(found, self._wanted(self.heldout, batch)).sum())
        return self.team.total(total) / max(len(self.heldout.label), 1)

    def _heldout_vectors(self, rows: _Rows) -> Tensor:
        """Vectors of held-out texts, in halves where memory does not suffice."""
        import torch

        try:
            return self._forward(self.heldout, rows, training=False)
        except (RuntimeError, MemoryError) as error:
            if len(rows) == 1 or not is_out_of_memory(error):
                raise
        # Out of the handler, which holds what the failed call had in memory.
        middle = len(rows) // 2
        return torch.cat([self._heldout_vectors(rows[:middle]), self._heldout_vectors(rows[middle:])])

    def _resume(self) -> None:
        if self.team.leads:
            checkpoint.mend(self.out)
        self.team.wait()
        state = checkpoint.load_checkpoint(self.out, self.model, self.optimizer)
        if state is None:
            return
        self.step, self.tokens, self.seconds, self.history = (
            state[k] for k in ("step", "tokens", "seconds", "history")
        )
        log.info("  going on at step %d of %d", self.step, self.total)

    def _blend_with(self, clone: SentenceTransformer) -> None:
        """Move all weights but the token embeddings back towards the clone's, by `weight_interpolation` of the way."""
        import torch

        rows = token_rows(self.model)
        with torch.no_grad():
            for own, start in zip(self.model.parameters(), clone.parameters(), strict=True):
                if own is not rows:
                    own.lerp_(start, self.config.weight_interpolation)

    def finish(self, clone: Path, max_seq_length: int | None, *, policy: LoadPolicy = SAFE) -> dict[str, Any]:
        """Blend the best weights with the clone's, save them as the student and sum up.

        Args:
            clone: folder of the model before training, with the student's tokenizer.
            max_seq_length: longest input in tokens.
            policy: what the clone's files may do.

        Returns:
            The `distill` section of the report.
        """
        checkpoint.load_best(self.out, self.model)
        self._blend_with(load_model(clone, device=str(self.team.device), policy=policy))
        cosine = self._heldout_cosine()
        if self.team.leads:
            save_model(self.model, self.out, tokenizer=clone, max_seq_length=max_seq_length)
            told = {"heldout_texts": len(self.heldout.label), "cosine_after": cosine, "history": self.history}
            write_json(self.out / "training.json", told)
        self.team.wait()
        best = max(self.history, key=lambda entry: entry["cosine"]) if len(self.heldout.label) else self.history[-1]
        return {
            "device": self.hardware.device,
            "precision": self.hardware.precision,
            "steps": self.total,
            "best_step": best["step"],
            "tokens": self.tokens,
            "tokens_per_second": round(self.tokens / self.seconds, 1) if self.seconds else None,
            "learning_rate": self.rate,
            "cosine_before": round(self.history[0]["cosine"], 6),
            "cosine_after": round(cosine, 6),
            "minutes": round(self.seconds / 60, 2),
        }


def _check_options(config: DistillConfig, steps: int, dim: int) -> None:
    if config.embedding_only_steps >= steps:
        raise UserError(
            f"--embedding-only-steps {config.embedding_only_steps} leaves none of the {steps} steps for all other "
            "weights."
        )
    for part in config.matryoshka:
        if part > dim:
            raise UserError(f"--matryoshka {part}: the teacher's vectors have only {dim} numbers.")


def _checkpointed_layers(model: SentenceTransformer) -> list[Any]:
    """Switch gradient checkpointing on, in the layers alone.

    transformers does it only in training mode, which would bring dropout along.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    inside = backbone(model)
    layers = [part for part in inside.modules() if isinstance(part, GradientCheckpointingLayer)]
    if not layers or not getattr(inside, "supports_gradient_checkpointing", False):
        raise UserError(f"--gradient-checkpointing: {type(inside).__name__} does not know it. Leave the option out.")
    # transformers 6 knows it by the first name alone, early versions of 5 by the second.
    new = hasattr(inside, "activation_checkpointing_enable")
    (inside.activation_checkpointing_enable if new else inside.gradient_checkpointing_enable)()
    return layers
