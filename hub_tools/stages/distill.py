"""Stage `distill`: the student learns the teacher's vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hub_tools.config import DistillConfig
from hub_tools.core.distributed import Processes
from hub_tools.core.hardware import Hardware
from hub_tools.models.loading import LoadPolicy
from hub_tools.results import DistillResult
from hub_tools.stages.base import Finished, Stage, neutral
from hub_tools.tokenization.adapt import TRIM
from hub_tools.training.distill import distill
from hub_tools.vectors.dataset import EmbeddingDataset


@dataclass(frozen=True, kw_only=True)
class DistillStage(Stage):
    """Train the student on the teacher's vectors."""

    name, folder, all_ranks = "distill", "student", True
    # Deleted only when the stage is done: an attempt that is cut off just before that needs them.
    leftovers = ("best*", "checkpoint*")

    clone: Finished
    embeddings: Finished
    config: DistillConfig
    hardware: Hardware
    seed: int
    chooses_split: bool
    layers: tuple[int, ...] = neutral()  # the clone's key has them
    policy: LoadPolicy = neutral()
    processes: Processes = neutral()

    def work(self, out: Path) -> DistillResult:
        return distill(
            self.clone.path,
            EmbeddingDataset(self.embeddings.path),
            out,
            self.config,
            trim=trim if (trim := self.clone.path / TRIM).is_dir() else None,
            may_keep_trim=self.chooses_split,
            is_shallow=bool(self.layers),
            hardware=self.hardware,
            seed=self.seed,
            policy=self.policy,
            processes=self.processes,
        )

    def outcome(self, result: DistillResult) -> str:
        made = f"{result.steps:,} steps on {self.hardware}"
        if result.cosine_before is None or result.cosine_after is None:
            return made
        return f"{made}; held-out cosine {result.cosine_before:.3f} -> {result.cosine_after:.3f}"
