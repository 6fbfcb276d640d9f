"""The trainer of sentence-transformers, with anchors beside its losses, exact resume and steps that fit into memory."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hub_tools.core.errors import UserError, is_out_of_memory
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import bar
from hub_tools.finetuning.columns import examples_in, queries_in
from hub_tools.finetuning.losses import Anchors
from hub_tools.finetuning.parts import InParts
from hub_tools.finetuning.searches import rows_of_batch
from hub_tools.models.loading import prepare_for_speed

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer

_WEIGHTS, _WHOLE = "weights.safetensors", "whole"
# Steps between checkpoints, and the share of the steps in which the learning rate rises.
_SAVE_STEPS, _WARMUP = 50, 0.1


class Trained(NamedTuple):
    """What a training took."""

    steps: int
    tokens_per_second: float


def steps_of(datasets: Mapping[str, Dataset], epochs: float, batch_size: int) -> int:
    """Return the steps of a training: each batch is of one data set."""
    return max(1, math.ceil(epochs * sum(math.ceil(len(one) / _rows(one, batch_size)) for one in datasets.values())))


def _rows(dataset: Dataset, batch_size: int) -> int:
    """Return how many rows of a data set make a batch."""
    return rows_of_batch(examples_in(dataset), batch_size)


def train(
    model: SentenceTransformer,
    datasets: Mapping[str, Dataset],
    losses: Mapping[str, Any],
    out: Path,
    *,
    anchors: Anchors,
    epochs: float,
    batch_size: int,
    learning_rate: float,
    micro_batch_tokens: int | None,
    hardware: Hardware,
    seed: int,
    title: str,
) -> Trained:
    """Train a model in place; each data set has the loss of its name, and in `out` a checkpoint is continued.

    Killed at any moment, it ends with the same weights. The model stays in evaluation mode: what anchors keep is exact.

    Raises:
        UserError: the loss is not finite, or memory does not suffice for a single text.
    """
    from datasets import DatasetDict
    from sentence_transformers.sentence_transformer.training_args import (
        BatchSamplers,
        MultiDatasetBatchSamplers,
        SentenceTransformerTrainingArguments,
    )

    steps = steps_of(datasets, epochs, batch_size)
    arguments = SentenceTransformerTrainingArguments(
        str(out),
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        warmup_steps=round(_WARMUP * steps),
        weight_decay=0.0,
        seed=seed,
        use_cpu=hardware.device == "cpu",
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        multi_dataset_batch_sampler=MultiDatasetBatchSamplers.PROPORTIONAL,
        save_strategy="steps",
        save_steps=_SAVE_STEPS,
        save_total_limit=1,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=hardware.device == "cuda",
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # this process's device alone
    prepare_for_speed(model, hardware)
    checkpoint = _last_checkpoint(out)
    done = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    if checkpoint and done >= steps:  # cut off when it had just ended
        _load(model, checkpoint)
        return Trained(steps, 0.0)
    parts = InParts(model, hardware, micro_batch_tokens)
    start = time.monotonic()
    try:
        with _in_evaluation_mode(model), bar(title, steps, " steps", done=done) as progress:
            trainer = _trainer_class()(
                model=model, args=arguments, train_dataset=DatasetDict(dict(datasets)), loss=dict(losses)
            )
            trainer.set_up(anchors, parts, progress)
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        parts.remove()
    model.zero_grad()
    return Trained(steps, round(parts.seen / (time.monotonic() - start), 1))


def _load(model: SentenceTransformer, checkpoint: Path) -> None:
    """Put the weights of a checkpoint into a model."""
    from safetensors.torch import load_model

    load_model(model, str(checkpoint / _WEIGHTS))


def _last_checkpoint(out: Path) -> Path | None:
    """Return the last checkpoint that is whole; others were cut off."""
    found = sorted(out.glob("checkpoint-*"), key=lambda folder: int(folder.name.rpartition("-")[2]))
    for folder in [folder for folder in found if not (folder / _WHOLE).exists()]:
        shutil.rmtree(folder)
        found.remove(folder)
    return found[-1] if found else None


@contextmanager
def _in_evaluation_mode(model: SentenceTransformer) -> Iterator[None]:
    """Keep the trainer from switching dropout on."""
    model.eval()
    model.train = lambda mode=True: model  # type: ignore[method-assign] # undone below
    try:
        yield
    finally:
        del model.train


def _trainer_class() -> Any:
    """Return the class of the trainer; the libraries are loaded when it is needed."""
    from safetensors.torch import save_model
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from transformers import TrainerCallback

    class Neighbours(DefaultBatchSampler):
        """Batches of the rows that stand together, in random order."""

        def __iter__(self) -> Iterator[list[int]]:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self))
            rows: Any = self.sampler  # the data set itself
            for start in (order * self.batch_size).tolist():
                yield list(range(start, min(start + self.batch_size, len(rows))))

    class Marks(TrainerCallback):
        """Mark checkpoints that are whole, and show progress."""

        def __init__(self, progress: Any) -> None:
            self.progress = progress

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.progress.update()

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / _WHOLE).touch()

    class Trainer(SentenceTransformerTrainer):
        def set_up(self, anchors: Anchors, parts: InParts, progress: Any) -> None:
            self.anchors, self.parts = anchors, parts
            self.add_callback(Marks(progress))

        def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
            """Write no card: the run has its own."""

        def get_batch_sampler(self, dataset: Any, batch_size: int, *args: Any, **kwargs: Any) -> Any:
            rows = _rows(dataset, batch_size)
            if queries_in(dataset):
                return Neighbours(dataset, rows, *args, **kwargs)
            return super().get_batch_sampler(dataset, rows, *args, **kwargs)

        def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
            while True:
                try:
                    return super().training_step(model, dict(inputs), num_items_in_batch)
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                # Out of the handler, which holds what the failed step had in memory.
                model.zero_grad()
                self.parts.shrink(self.state.global_step)

        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            loss: Any = super().compute_loss(model, inputs, *args, **kwargs)
            if self.anchors.is_used:
                loss = loss + self.anchors.loss(self.model, self.state.global_step, self.state.max_steps)
            if not loss.isfinite():
                raise UserError(
                    f"The loss is not finite in step {self.state.global_step + 1} of the training with labels. Lower "
                    "--finetune-learning-rate or use --precision fp32, then run the same command again."
                )
            return loss

        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            folder = Path(output_dir or str(self.args.output_dir))
            folder.mkdir(parents=True, exist_ok=True)
            save_model(self.model, str(folder / _WEIGHTS))

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            _load(self.model, Path(resume_from_checkpoint))

    return Trainer
