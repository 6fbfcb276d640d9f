"""Stage `finetune`: the distilled student is trained with labels, where there is data for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from hub_tools.config_finetune import FinetuneConfig
from hub_tools.core.hardware import Hardware
from hub_tools.core.run_record import FINETUNED
from hub_tools.corpus.build import Corpus
from hub_tools.evaluation.mteb_tasks import AnyTask
from hub_tools.evaluation.subject import Subject
from hub_tools.evaluation.tasks import evaluation_texts
from hub_tools.finetuning.data import Labelled
from hub_tools.finetuning.finetune import finetune
from hub_tools.models.loading import load_model
from hub_tools.models.teacher import Teacher
from hub_tools.results import FinetuneResult
from hub_tools.stages.base import Finished, Stage
from hub_tools.stages.evaluate import vector_cache
from hub_tools.stages.job import Job
from hub_tools.vectors.dataset import EmbeddingDataset


@dataclass(frozen=True, kw_only=True)
class FinetuneStage(Stage):
    """Train the student with labels, without the texts of the tasks."""

    name, folder, other_sections = "finetune", FINETUNED, ("evaluate",)
    leftovers = ("[0-9]-*",)

    teacher: Teacher
    corpus: Finished
    embeddings: Finished
    student: Finished
    targets: tuple[str, ...]
    labelled: tuple[Labelled, ...]
    config: FinetuneConfig
    tasks: tuple[AnyTask, ...]
    hardware: Hardware
    seed: int

    @classmethod
    def of(cls, job: Job, done: Mapping[str, Finished]) -> Self:
        stage = super().of(job, done)
        # Data is known by what it holds, not by where it is.
        return replace(stage, config=replace(stage.config, nli=(), retrieval=(), paragraphs=(), sts=()))

    def work(self, out: Path) -> FinetuneResult:
        load = partial(load_model, self.teacher.path, device=self.hardware.device, policy=self.teacher.policy)
        cache = vector_cache(out.parent)
        return finetune(
            self.student.path,
            Subject(load, self.hardware, cache=cache, identity=self.teacher.identity),
            Corpus(self.corpus.path),
            EmbeddingDataset(self.embeddings.path),
            self.labelled,
            out=out,
            config=self.config,
            targets=self.targets,
            evaluation=evaluation_texts(self.tasks, self.targets),
            hardware=self.hardware,
            seed=self.seed,
            policy=self.teacher.policy,
        )

    def outcome(self, result: FinetuneResult) -> str:
        refused = [step.skill for step in result.skills if not step.taken]
        taken = f"trained for {', '.join(result.taken)}" if result.taken else "the student is the distilled one"
        return taken + (f"; not taken: {', '.join(refused)}" if refused else "")
