"""A small training as a program, for tests that kill it or start several of it.

python -m tests.training_job kill MODEL OUT MOMENT...     one in OUT/whole, and one in OUT/cut, killed at each moment
accelerate launch ... tests/training_job.py train MODEL OUT OPTIONS...     OPTIONS: config as JSON, a training each
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from hub_tools.config import DistillConfig
from hub_tools.core.distributed import init_processes
from hub_tools.core.hardware import Hardware
from hub_tools.models.loading import load_model, longest_input
from hub_tools.results import DistillResult
from hub_tools.training import checkpoint
from hub_tools.training.data import TokenizedTexts, TrainingSet
from hub_tools.training.distill import save_student
from hub_tools.training.trainer import Trainer

CPU = Hardware(device="cpu", precision="fp32")
STEPS = 6
CONFIG: dict[str, Any] = {"steps": STEPS, "batch_tokens": 256, "eval_steps": 2, "learning_rate": 1e-2}


def training_set(count: int, dim: int = 32, vocabulary: int = 2000) -> TrainingSet:
    """Texts of random tokens in two languages and as pairs, each with a random vector."""
    random = np.random.default_rng(0)
    lengths = random.integers(3, 30, size=count)
    texts = TokenizedTexts(
        ids=random.integers(200, vocabulary, size=lengths.sum(), dtype=np.int32), ends=np.cumsum(lengths), pad_id=0
    )
    return TrainingSet(
        texts=texts,
        target_index=np.arange(count),
        targets=random.normal(size=(count, dim)).astype(np.float16),
        source=np.arange(count) % 3 - 2,
        is_translation=np.zeros(count, dtype=np.bool_),
        is_other=np.zeros(count, dtype=np.bool_),
    )


def trainer(model: Path, out: Path, *, heldout: int = 60, **options: Any) -> Trainer:
    """A training of a few steps on the CPU."""
    config = DistillConfig(**{**CONFIG, **options})
    return Trainer(
        load_model(model, device="cpu"),
        training_set(60),
        training_set(heldout),
        out,
        config,
        hardware=CPU,
        seed=3,
        processes=init_processes("cpu"),
    )


def train(model: Path, out: Path, **options: Any) -> DistillResult:
    """Train and save the student."""
    out.mkdir(parents=True, exist_ok=True)
    job = trainer(model, out, **options)
    job.train()
    return finish(job, model)


def finish(job: Trainer, model: Path) -> DistillResult:
    """Save the student of a training."""
    return save_student(job, model, longest_input(job.student.model))


def share(out: Path) -> None:
    """Write what this process got from the others."""
    import torch

    processes = init_processes("cpu")
    first, second = (torch.nn.Parameter(torch.zeros(size)) for size in (2, 3))
    first.grad = torch.full((2,), 1.0 + processes.rank)
    if processes.is_main:
        second.grad = torch.ones(3)  # the other process has none
    processes.all_reduce_gradients([first, second])
    shared = {
        "gradients": [p.grad.tolist() for p in (first, second) if p.grad is not None],
        "any": [processes.any_rank(processes.rank == rank) for rank in (1, 2)],
        "sum": processes.all_reduce_scalar(0.25),
        "from main": processes.run_on_main(lambda: f"rank {processes.rank}"),
    }
    (out / f"rank-{processes.rank}.json").write_text(json.dumps(shared), encoding="utf-8")


def die(*_: object) -> None:
    """What a machine that loses its power does."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying(model: Path, out: Path, moment: str) -> None:
    """Train until a moment: the number of a step, in the middle of which it ends, or what follows a word."""
    name, _, number = moment.partition(":")
    job = trainer(model, out, dropout=True)

    def at(word: str, owner: Any, method: str) -> Any:
        original = getattr(owner, method)

        def deadly(*args: Any, **kwargs: Any) -> Any:
            return die() if job.step == int(number) else original(*args, **kwargs)

        return patch.object(owner, method, deadly if name == word else original)

    with (
        at("step", job.optimizer, "step"),  # gradients are there, weights have not moved
        at("best", checkpoint, "save_checkpoint"),  # the best weights are there, the checkpoint is not
        at("rename", Path, "rename"),  # the checkpoint is written, but not in its place
    ):
        job.train()
    finish(job, model)


def kill(model: Path, out: Path, moments: list[str]) -> None:
    """Start a child for a whole training and one for each moment; forked, because imports take longer than training."""
    for name in ("sentence_transformers.sentence_transformer.modules", "transformers.models.bert.modeling_bert"):
        importlib.import_module(name)
    for folder, moment in [("whole", "never"), *(("cut", moment) for moment in moments)]:
        child = os.fork()
        if child == 0:
            dying(model, out / folder, moment)
            os._exit(0)
        sys.stdout.write(f"{moment} {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")


if __name__ == "__main__":
    command, model, out, *rest = sys.argv[1:]
    if command == "kill":
        kill(Path(model), Path(out), rest)
    else:
        for number, options in enumerate(rest):
            train(Path(model), Path(out) / str(number), **json.loads(options))
        share(Path(out))
