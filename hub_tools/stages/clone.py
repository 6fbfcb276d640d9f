"""Stage `clone`: the teacher's weights and new embedding rows, a student that already works."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from hub_tools.cloning.clone import clone
from hub_tools.config import Init
from hub_tools.corpus.build import Corpus
from hub_tools.models.teacher import LICENSE, Teacher
from hub_tools.results import CloneResult
from hub_tools.stages.base import Finished, Stage
from hub_tools.stages.job import HashedFile


@dataclass(frozen=True, kw_only=True)
class CloneStage(Stage):
    """Give the teacher the student's tokenizer; `prompts` are those that the teacher's files do not name."""

    name, folder, other_sections = "clone", "clone", ("embed",)

    teacher: Teacher
    legal_files: tuple[HashedFile, ...]
    teacher_license: dict[str, str] | None  # kept in the record
    tokenizer: Finished
    corpus: Finished
    init: Init
    prompts: dict[str, str]
    target: str

    def work(self, out: Path) -> CloneResult:
        result = clone(
            self.teacher,
            self.tokenizer.path,
            Corpus(self.corpus.path),
            out,
            init=self.init,
            target=self.target,
            prompts=self.prompts,
        )
        for file in self.legal_files:
            (out / LICENSE).mkdir(exist_ok=True)
            shutil.copyfile(file.path, out / LICENSE / file.path.name)
        return result
