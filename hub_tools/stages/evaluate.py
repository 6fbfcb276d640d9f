"""Stage `evaluate`: the same tasks for teacher, clone and student."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_tools.core.files import read_as
from hub_tools.core.hardware import Hardware
from hub_tools.core.run_files import cure_for
from hub_tools.corpus.build import Corpus
from hub_tools.evaluation.evaluate import evaluate
from hub_tools.models.teacher import Teacher
from hub_tools.results import EvaluationResult
from hub_tools.stages.base import Finished, Stage, neutral
from hub_tools.stages.job import HashedFile


@dataclass(frozen=True, kw_only=True)
class EvaluateStage(Stage):
    """Measure teacher, clone and student."""

    name, folder = "evaluate", "evaluation"

    teacher: Teacher
    corpus: Finished
    clone: Finished
    student: Finished
    target: str
    sts: tuple[HashedFile, ...]
    own_vectors: bool
    hardware: Hardware = neutral()

    def work(self, out: Path) -> EvaluationResult:
        student = self.student.path
        return evaluate(
            {"teacher": self.teacher.path, "clone": self.clone.path, "student": student},
            Corpus(self.corpus.path),
            target=self.target,
            sts=[file.path for file in self.sts],
            hardware=self.hardware,
            training=read_as(dict[str, Any], student / "training.json", cure_for(student)),
            own_vectors=self.own_vectors,
            policy=self.teacher.policy,
        )
