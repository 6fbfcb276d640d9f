"""Stage `evaluate`: the same tasks for teacher, clone and student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub_tools.core.files import read_json
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus
from hub_tools.models.teacher import Teacher
from hub_tools.results import EvaluationResult
from hub_tools.stages.base import Finished, Stage, neutral
from hub_tools.stages.job import HashedFile, Job


@dataclass(frozen=True, kw_only=True)
class EvaluateInputs:
    """What is measured, and on what."""

    teacher: Teacher
    corpus: Finished
    clone: Finished
    student: Finished
    target: str
    sts: tuple[HashedFile, ...]
    own_vectors: bool
    hardware: Hardware = neutral()


class EvaluateStage(Stage[EvaluateInputs]):
    """Measure teacher, clone and student."""

    name, folder, sections = "evaluate", "evaluation", ("evaluate",)
    needs = ("corpus", "tokenizer", "clone", "embed", "distill")

    def inputs(self, job: Job, done: Mapping[str, Finished]) -> EvaluateInputs:
        return EvaluateInputs(
            teacher=job.teacher,
            corpus=done["corpus"],
            clone=done["clone"],
            student=done["distill"],
            target=job.config.target,
            sts=job.sts,
            own_vectors=job.imported is None,
            hardware=job.hardware,
        )

    def work(self, inputs: EvaluateInputs, out: Path) -> EvaluationResult:
        from hub_tools.evaluation.evaluate import evaluate

        student = inputs.student.path
        return evaluate(
            {"teacher": inputs.teacher.path, "clone": inputs.clone.path, "student": student},
            Corpus(inputs.corpus.path),
            target=inputs.target,
            sts=[file.path for file in inputs.sts],
            hardware=inputs.hardware,
            training=read_json(student / "training.json"),
            own_vectors=inputs.own_vectors,
            policy=inputs.teacher.policy,
        )
