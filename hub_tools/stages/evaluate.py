"""Stage `evaluate`: the same tasks for teacher, clone and student."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hub_tools.core.files import read_as
from hub_tools.core.hardware import Hardware
from hub_tools.core.run_files import cure_for
from hub_tools.core.run_record import parent_of
from hub_tools.corpus.build import Corpus
from hub_tools.evaluation.evaluate import DISTILLED, evaluate_run
from hub_tools.evaluation.mteb_files import write_results
from hub_tools.evaluation.mteb_tasks import AnyTask
from hub_tools.evaluation.subject import Subject
from hub_tools.finetuning.finetune import FINETUNING
from hub_tools.models.loading import load_model
from hub_tools.models.sizes import weight_bytes
from hub_tools.models.teacher import Teacher
from hub_tools.results import EvaluationResult, FinetuneResult
from hub_tools.stages.base import Finished, Stage, neutral
from hub_tools.tokenization.adapt import TRIM

# Vectors of evaluations, in the run folder; they are found by what they are of, and may be deleted.
_VECTORS = ".vectors"


def vector_cache(run: Path) -> Path:
    """Return the folder of a run for vectors of evaluations; several students share it, and so the teacher's."""
    return (parent_of(run) or run) / _VECTORS


@dataclass(frozen=True, kw_only=True)
class EvaluateStage(Stage):
    """Measure teacher, clone and student, and the teacher merely trimmed where tokens were learned."""

    name, folder = "evaluate", "evaluation"

    teacher: Teacher
    corpus: Finished
    clone: Finished
    student: Finished
    targets: tuple[str, ...]
    tasks: tuple[AnyTask, ...]
    max_tokens: int | None  # of a text that all models read; None for their own limit, which is the same
    lengths: tuple[int, ...]  # of shortened vectors that the student was trained for
    mteb_results: bool
    own_vectors: bool
    hardware: Hardware = neutral()

    @property
    def students(self) -> dict[str, Finished]:
        """The student, behind the models that it was made from."""
        return {"student": self.student}

    @property
    def supervised(self) -> list[str]:
        """What the student was trained for with labels."""
        return []

    def work(self, out: Path) -> EvaluationResult:
        trim = Finished(path=self.clone.path / TRIM, identity=f"{self.clone.identity} {TRIM}")
        models: dict[str, Teacher | Finished] = {
            "teacher": self.teacher,
            **({TRIM: trim} if trim.path.is_dir() else {}),
            "clone": self.clone,
            **self.students,
        }
        subjects = {
            name: Subject(
                partial(load_model, model.path, device=self.hardware.device, policy=self.teacher.policy),
                self.hardware,
                longest=self.max_tokens,
                cache=vector_cache(out.parent),
                identity=model.identity,
            )
            for name, model in models.items()
        }
        result = evaluate_run(
            subjects,
            Corpus(self.corpus.path),
            self.tasks,
            targets=self.targets,
            training=read_as(dict[str, Any], self.student.path / "training.json", cure_for(self.student.path)),
            weights={name: weight_bytes(model.path, self.teacher.policy) for name, model in models.items()},
            lengths=self.lengths,
            own_vectors=self.own_vectors,
            supervised=self.supervised,
        )
        if self.mteb_results:
            write_results(subjects, self.tasks, out / "mteb", language=self.targets[0])
        return result

    def outcome(self, result: EvaluationResult) -> str:
        tasks = len({(row.task, row.split) for row in result.evaluation})
        return f"{tasks} tasks, {', '.join(result.models)}"


@dataclass(frozen=True, kw_only=True)
class EvaluateFinetunedStage(EvaluateStage):
    """Measure a student that was trained with labels beside the distilled one."""

    finetuned: Finished

    @property
    def students(self) -> dict[str, Finished]:
        return {DISTILLED: self.student, "student": self.finetuned}

    @property
    def supervised(self) -> list[str]:
        return read_as(FinetuneResult, self.finetuned.path / FINETUNING, cure_for(self.finetuned.path)).supervised
