"""What new embedding rows are made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hub_tools.cloning.safetensors_io import AnyRows
from hub_tools.corpus.build import Corpus
from hub_tools.models.teacher import Teacher
from hub_tools.tokenization.token_map import Match, TokenMap
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

Rows = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class InitContext:
    """What new embedding rows are made from, besides the teacher and both tokenizers.

    Attributes:
        token_map: student token -> teacher tokens, in position.
        teacher_rows: the teacher's rows, read as float32, shape (teacher vocabulary, hidden).
        corpus: text in the target language, and parallel text where there is some.
        target: the language of the student, one of the corpus.
        scratch: folder for temporary files, see `ibm_model1.align`.
    """

    teacher: Teacher
    teacher_spec: TokenizerSpec
    student_spec: TokenizerSpec
    token_map: TokenMap
    teacher_rows: AnyRows
    corpus: Corpus
    target: str
    scratch: Path

    @property
    def new_ids(self) -> NDArray[np.int64]:
        """Student ids whose token the teacher does not have, ascending, int64."""
        return np.flatnonzero(self.token_map.kinds != Match.EXACT)
