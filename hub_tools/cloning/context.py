"""What new embedding rows are made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hub_tools.cloning.safetensors_io import AnyRows
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus, take_turns
from hub_tools.models.teacher import Teacher
from hub_tools.tokenization.token_map import Match, TokenMap
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

Rows = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class InitContext:
    """What new embedding rows are made from."""

    teacher: Teacher
    teacher_spec: TokenizerSpec
    student_spec: TokenizerSpec
    token_map: TokenMap  # student token -> teacher tokens, in position
    teacher_rows: AnyRows  # read as float32, shape (teacher vocabulary, hidden)
    corpus: Corpus
    targets: tuple[str, ...]  # the languages of the student
    scratch: Path  # for temporary files, see `ibm_model1.align`
    hardware: Hardware  # where rows are fitted

    @property
    def new_ids(self) -> NDArray[np.int64]:
        """Student ids whose token the teacher does not have, ascending, int64."""
        return np.flatnonzero(self.token_map.kinds != Match.EXACT)

    def texts(self) -> Iterator[str]:
        """Yield the texts in the languages of the student, in turns."""
        return take_turns(self.corpus.all_texts(lang, self.targets) for lang in self.targets)
