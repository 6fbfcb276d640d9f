"""Stage `distill`: the student learns the teacher's vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub_tools.config import DistillConfig
from hub_tools.core.distributed import Processes
from hub_tools.core.hardware import Hardware
from hub_tools.models.loading import LoadPolicy
from hub_tools.results import DistillResult
from hub_tools.stages.base import Finished, Stage, neutral
from hub_tools.stages.job import Job
from hub_tools.vectors.dataset import EmbeddingDataset


@dataclass(frozen=True, kw_only=True)
class DistillInputs:
    """What the student is trained from."""

    clone: Finished
    embeddings: Finished
    config: DistillConfig
    hardware: Hardware
    seed: int
    policy: LoadPolicy = neutral()
    processes: Processes = neutral()


class DistillStage(Stage[DistillInputs]):
    """Train the student on the teacher's vectors."""

    name, folder, sections = "distill", "student", ("distill",)
    needs = ("corpus", "tokenizer", "clone", "embed")
    all_ranks = True
    # Deleted only when the stage is done: an attempt that is cut off just before that needs them.
    leftovers = ("best*", "checkpoint*")

    def inputs(self, job: Job, done: Mapping[str, Finished]) -> DistillInputs:
        return DistillInputs(
            clone=done["clone"],
            embeddings=done["embed"],
            config=job.config.distill,
            hardware=job.hardware,
            seed=job.config.seed,
            policy=job.teacher.policy,
            processes=job.processes,
        )

    def work(self, inputs: DistillInputs, out: Path) -> DistillResult:
        from hub_tools.training.distill import distill

        return distill(
            inputs.clone.path,
            EmbeddingDataset(inputs.embeddings.path),
            out,
            inputs.config,
            hardware=inputs.hardware,
            seed=inputs.seed,
            policy=inputs.policy,
            processes=inputs.processes,
        )
