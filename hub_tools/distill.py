"""Stage `distill`: the student learns the teacher's vectors.

fp32 weights, bf16 autocast where it is faster, AdamW, warm-up and cosine schedule, clipped gradients, no
dropout. Every `eval_every` steps the held-out cosine is measured and a checkpoint replaces the last one; the
weights with the best held-out cosine become the student.
"""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.batches import TokenizedTexts, epoch_batches, pad
from hub_tools.config import DistillConfig
from hub_tools.embed import Embeddings
from hub_tools.errors import UserError
from hub_tools.models import NO_TRUST, Hardware, Trust, load_model, prepare_for_speed, save_model, token_rows
from hub_tools.progress import bar, log
from hub_tools.run_folder import read_json, write_json

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from sentence_transformers import SentenceTransformer

# Learning rate for a hidden size of 384, measured (docs/results.md); wider models take it in proportion.
_BASE_RATE, _BASE_HIDDEN = 1e-3, 384
_HELDOUT_ROWS = 1000


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Texts as token ids, each with the vector it shall get.

    Attributes:
        texts: the student's token ids.
        label: row of `vectors` for each text, int64, shape (texts,).
        vectors: the teacher's, float16, shape (rows, dim).
        source: number of the parallel file of each text's pair, -1 for monolingual text, int64, shape (texts,).
        is_target: whether each text is in the target language's side of a pair, bool, shape (texts,).
    """

    texts: TokenizedTexts
    label: NDArray[np.int64]
    vectors: NDArray[np.float16]
    source: NDArray[np.int64]
    is_target: NDArray[np.bool_]

    def repeats(self, balance: float, source_share: float) -> NDArray[np.float64]:
        """How often an epoch holds each text, float64, shape (texts,).

        Args:
            balance: a parallel file of n pairs weighs as n ** balance; the largest is taken once.
            source_share: share of the pairs whose source side is taken too.
        """
        pairs = self.source >= 0
        times = np.ones(len(self.source))
        if pairs.any():
            sizes = np.bincount(self.source[pairs])
            times[pairs] = (sizes.max() / sizes[self.source[pairs]]) ** (1 - balance)
        times[pairs & ~self.is_target] *= source_share
        return times


def distill(
    clone: Path,
    embeddings: Embeddings,
    out: Path,
    config: DistillConfig,
    *,
    hardware: Hardware,
    seed: int,
    trust: Trust = NO_TRUST,
) -> dict[str, Any]:
    """Train the clone on the teacher's vectors and save the student.

    Args:
        clone: folder of the clone.
        embeddings: the teacher's vectors.
        out: folder of the student; a checkpoint in it is continued.
        config: how to train.
        hardware: where to train.
        seed: of the order of the texts.
        trust: what the teacher's files may do.

    Returns:
        The `distill` section of the report.

    Raises:
        UserError: the loss is not finite, or there is no text.
    """
    trainer = _Trainer(clone, embeddings, out, config, hardware=hardware, seed=seed, trust=trust)
    trainer.train()
    return trainer.finish(clone)


def load_examples(
    embeddings: Embeddings, split: str, tokenizer_file: Path, max_tokens: int, *, every: int = 1
) -> Examples:
    """Tokenize a split with the student's tokenizer.

    A row with a translation gives two texts with the same vector.

    Args:
        embeddings: the teacher's vectors.
        split: train or validation.
        tokenizer_file: the student's tokenizer.json.
        max_tokens: longer texts are cut.
        every: take one row in so many.
    """
    texts = TokenizedTexts.Builder(tokenizer_file, max_tokens)
    vectors: list[NDArray[np.float16]] = []
    numbers: dict[str, int] = {}
    label, source, is_target = [], [], []
    rows = 0
    for batch in embeddings.batches(split):
        chosen = zip(*(column[::every] for column in batch[:4]), strict=True)
        both: list[str] = []
        for row, (text, translation, origin, prompt) in enumerate(chosen, rows):
            own = [text] if translation is None else [text, translation]
            both += [prompt + part for part in own]
            label += [row] * len(own)
            source += [-1 if translation is None else numbers.setdefault(origin, len(numbers))] * len(own)
            is_target += [False, True][: len(own)]
        texts.add(both)
        vectors.append(batch.vectors[::every])
        rows += len(vectors[-1])
    return Examples(
        texts=texts.build(),
        label=np.asarray(label, dtype=np.int64),
        vectors=np.concatenate(vectors) if vectors else np.empty((0, 0), np.float16),
        source=np.asarray(source, dtype=np.int64),
        is_target=np.asarray(is_target, dtype=np.bool_),
    )


def relational_loss(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """How differently two sets of vectors arrange the same texts (similarity-preserving distillation).

    Args:
        found: the student's vectors, shape (texts, dim).
        wanted: the teacher's vectors, shape (texts, dim).

    Returns:
        Mean squared difference between the two matrices of cosines within the batch, a scalar.
    """
    from torch.nn.functional import mse_loss, normalize

    ours, theirs = normalize(found, dim=-1), normalize(wanted, dim=-1)
    return mse_loss(ours @ ours.T, theirs @ theirs.T)


class _Trainer:
    """The state of one training: what a checkpoint holds, and the loop over it."""

    def __init__(
        self,
        clone: Path,
        embeddings: Embeddings,
        out: Path,
        config: DistillConfig,
        *,
        hardware: Hardware,
        seed: int,
        trust: Trust = NO_TRUST,
    ) -> None:
        import torch
        from accelerate import Accelerator
        from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss
        from transformers import get_scheduler

        torch.manual_seed(seed)
        self.out, self.config, self.seed, self.hardware = out, config, seed, hardware
        # The model stays in eval mode: dropout would only blur a goal that is exact.
        self.model: SentenceTransformer = load_model(clone, device=hardware.device, trust=trust)
        prepare_for_speed(self.model, hardware)
        limit = self.model.max_seq_length or 512
        log.info("  tokenizing")
        self.data = load_examples(embeddings, "train", clone / "tokenizer.json", limit)
        every = -(-embeddings.rows("validation") // _HELDOUT_ROWS) or 1
        self.heldout = load_examples(embeddings, "validation", clone / "tokenizer.json", limit, every=every)
        if not len(self.data.label):
            raise UserError("There is no text to train on: the embeddings have no train split.")
        self.repeats = self.data.repeats(config.balance, config.source_share)
        per_epoch = len(self._epoch(0))
        self.total = config.steps or max(1, math.ceil(config.epochs * per_epoch))
        hidden = token_rows(self.model).shape[1]
        self.rate = config.learning_rate or _BASE_RATE * _BASE_HIDDEN / hidden
        self.accelerator: Accelerator = Accelerator(
            mixed_precision="bf16" if hardware.precision == "bf16" else "no", cpu=hardware.device == "cpu"
        )
        fused = hardware.device != "mps"
        rows = token_rows(self.model)
        rest = [parameter for parameter in self.model.parameters() if parameter is not rows]
        groups = [{"params": [rows], "lr": self.rate}, {"params": rest, "lr": self.rate * config.backbone_share}]
        optimizer = torch.optim.AdamW(groups, weight_decay=0.0, fused=fused)
        schedule = get_scheduler(
            "cosine", optimizer, num_warmup_steps=round(config.warmup * self.total), num_training_steps=self.total
        )
        self.trained, self.optimizer, self.schedule = self.accelerator.prepare(self.model, optimizer, schedule)
        self.cosine_loss = EmbedDistillLoss(self.trained, distance_metric="cosine")
        self.history: list[dict[str, float]] = []
        self.step, self.tokens, self.seconds = 0, 0, 0.0

    def train(self) -> None:
        """Take the steps that are left."""
        self._resume()
        if not self.history:
            self._look(loss=float("nan"))
        begun, spent = time.monotonic(), self.seconds
        with bar("steps", self.total, " steps", done=self.step) as progress:
            losses = []
            for batch in self._batches():
                losses.append(self._take_step(batch))
                self.seconds = spent + time.monotonic() - begun
                shown = f"loss {losses[-1]:.4f}, {self.tokens / self.seconds:,.0f} tokens/s"
                progress.set_postfix_str(shown, refresh=False)
                progress.update()
                if self.step % self.config.eval_every == 0 or self.step == self.total:
                    self._look(loss=float(np.mean(losses)))
                    losses = []

    def _batches(self) -> Any:
        """Batches of text numbers from the current position to the last step, across epochs."""
        position, epoch = self.step, 0
        while self.step < self.total:
            batches = self._epoch(epoch)
            for batch in batches[position:]:
                if self.step == self.total:
                    return
                yield batch
            position, epoch = max(0, position - len(batches)), epoch + 1

    def _epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        return epoch_batches(self.data.texts.lengths, self.config.batch_tokens, self.seed, epoch, self.repeats)

    def _take_step(self, batch: NDArray[np.int64]) -> float:
        import torch

        features = self._features(self.data, batch)
        labels = torch.from_numpy(self.data.vectors[self.data.label[batch]].astype(np.float32)).to(
            self.accelerator.device
        )
        found = self.trained(features)["sentence_embedding"].float()
        loss = self.cosine_loss.compute_loss_from_embeddings([found], [labels])
        if self.config.relational:
            loss = loss + self.config.relational * relational_loss(found, labels)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise UserError(
                f"The loss is not finite at step {self.step + 1}. Lower --learning-rate or use "
                "--precision fp32, then run the same command again."
            )
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.trained.parameters(), self.config.clip)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += features["input_ids"].numel()
        return value

    def _features(self, data: Examples, batch: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        import torch

        ids, mask = pad([data.texts[i] for i in batch], data.texts.pad_id)
        device = self.accelerator.device
        return {"input_ids": torch.from_numpy(ids).to(device), "attention_mask": torch.from_numpy(mask).to(device)}

    def _look(self, *, loss: float) -> None:
        """Measure the held-out cosine, keep the weights if they are the best, write a checkpoint."""
        cosine = self._heldout_cosine()
        best = max((entry["cosine"] for entry in self.history), default=-2.0)
        entry = {"step": self.step, "cosine": cosine, "loss": loss, "learning_rate": self.schedule.get_last_lr()[0]}
        self.history.append({k: v for k, v in entry.items() if not math.isnan(v)})
        if len(self.heldout.label) == 0 or cosine > best:
            self._replace(self.out / "best", self._save_weights)
        self._replace(self.out / "checkpoint", self._save_checkpoint)
        log.info("  step %d of %d: held-out cosine %.4f", self.step, self.total, cosine)

    def _heldout_cosine(self) -> float:
        """Mean cosine between the student's and the teacher's vectors of held-out texts (0 if there are none)."""
        import torch

        total = 0.0
        for batch in epoch_batches(self.heldout.texts.lengths, self.config.batch_tokens, self.seed, 0):
            with torch.inference_mode(), self.accelerator.autocast():
                found = self.model(self._features(self.heldout, batch))["sentence_embedding"].float().cpu()
            wanted = torch.from_numpy(self.heldout.vectors[self.heldout.label[batch]].astype(np.float32))
            total += float(torch.nn.functional.cosine_similarity(found, wanted).sum())
        return total / max(len(self.heldout.label), 1)

    def _save_weights(self, folder: Path) -> None:
        from safetensors.torch import save_model as save_weights

        folder.mkdir(parents=True)
        save_weights(self.model, str(folder / "weights.safetensors"))

    def _save_checkpoint(self, folder: Path) -> None:
        self.accelerator.save_state(str(folder))
        state = {"step": self.step, "tokens": self.tokens, "seconds": self.seconds, "history": self.history}
        write_json(folder / "training.json", state)

    @staticmethod
    def _replace(folder: Path, write: Any) -> None:
        """Write a folder under another name first; a crash leaves the old one or the new one."""
        new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
        write(new)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)

    def _resume(self) -> None:
        folder = self.out / "checkpoint"
        for name in ("best", "checkpoint"):  # cut off in the middle of a replacement
            if not (self.out / name).exists() and (self.out / f"{name}.old").exists():
                (self.out / f"{name}.old").rename(self.out / name)
        if not (folder / "training.json").exists():
            return
        self.accelerator.load_state(str(folder))
        state = read_json(folder / "training.json")
        self.step, self.tokens, self.seconds, self.history = (
            state[k] for k in ("step", "tokens", "seconds", "history")
        )
        log.info("  going on at step %d of %d", self.step, self.total)

    def finish(self, clone: Path) -> dict[str, Any]:
        """Save the best weights as the student and sum up."""
        from safetensors.torch import load_model as load_weights

        load_weights(self.model, str(self.out / "best" / "weights.safetensors"))
        save_model(self.model, self.out, tokenizer=clone, max_seq_length=self.model.max_seq_length or 512)
        write_json(self.out / "training.json", {"heldout_texts": len(self.heldout.label), "history": self.history})
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
            "cosine_after": round(best["cosine"], 6),
            "minutes": round(self.seconds / 60, 2),
        }
