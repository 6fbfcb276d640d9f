"""Stage `clone`: the teacher's weights and new embedding rows, a student that already works."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from hub_tools.cloning.clone import clone
from hub_tools.config import Init
from hub_tools.corpus.build import Corpus
from hub_tools.models.teacher import LICENSE, Teacher
from hub_tools.results import CloneResult
from hub_tools.stages.base import Finished, Stage
from hub_tools.stages.job import HashedFile
from hub_tools.tokenization.adapt import TRIM


@dataclass(frozen=True, kw_only=True)
class CloneStage(Stage):
    """Give the teacher the student's tokenizer; `prompts` are those that the teacher's files do not name.

    Where tokens were learned, the folder trim/ in it has the plain trim, with which the student is compared.
    """

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
        result = self._clone(self.tokenizer.path, out, self.init)
        if (trim := self.tokenizer.path / TRIM).is_dir():
            # All of its rows are the teacher's.
            result = replace(result, trim=self._clone(trim, out / TRIM, "mean"))
        for file in self.legal_files:
            (out / LICENSE).mkdir(exist_ok=True)
            shutil.copyfile(file.path, out / LICENSE / file.path.name)
        return result

    def _clone(self, tokenizer: Path, out: Path, init: Init) -> CloneResult:
        corpus = Corpus(self.corpus.path)
        return clone(self.teacher, tokenizer, corpus, out, init=init, target=self.target, prompts=self.prompts)
