"""Stage `clone`: the teacher's weights and new embedding rows, a student that already works."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub_tools.config import Init
from hub_tools.corpus.build import Corpus
from hub_tools.models.teacher import Teacher
from hub_tools.results import CloneResult
from hub_tools.stages.base import Finished, Stage
from hub_tools.stages.job import HashedFile, Job

LICENSE = "license"


@dataclass(frozen=True, kw_only=True)
class CloneInputs:
    """What the clone is made of; `prompts` are those that the teacher's files do not name."""

    teacher: Teacher
    legal_files: tuple[HashedFile, ...]
    tokenizer: Finished
    corpus: Finished
    init: Init
    prompts: dict[str, str]
    target: str


class CloneStage(Stage[CloneInputs]):
    """Give the teacher the student's tokenizer."""

    name, folder, sections = "clone", "clone", ("clone", "embed")
    needs = ("corpus", "tokenizer")

    def inputs(self, job: Job, done: Mapping[str, Finished]) -> CloneInputs:
        return CloneInputs(
            teacher=job.teacher,
            legal_files=tuple(HashedFile(path=file) for file in job.teacher.legal_files),
            tokenizer=done["tokenizer"],
            corpus=done["corpus"],
            init=job.config.clone.init,
            prompts=job.config.embed.prompts,
            target=job.config.target,
        )

    def work(self, inputs: CloneInputs, out: Path) -> CloneResult:
        from hub_tools.cloning.clone import clone

        result = clone(
            inputs.teacher,
            inputs.tokenizer.path,
            Corpus(inputs.corpus.path),
            out,
            init=inputs.init,
            target=inputs.target,
            prompts=inputs.prompts,
        )
        for file in inputs.legal_files:
            (out / LICENSE).mkdir(exist_ok=True)
            shutil.copyfile(file.path, out / LICENSE / file.path.name)
        return result
