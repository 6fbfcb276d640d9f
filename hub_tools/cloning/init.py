"""How the rows of new tokens are made: one module for each way, one function over all.

What every way shares: a token that the teacher has too keeps the teacher's row, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hub_tools.cloning.safetensors_io import AnyRows
from hub_tools.config import Init
from hub_tools.core.logging import log
from hub_tools.corpus.build import Corpus
from hub_tools.models.teacher import Teacher
from hub_tools.tokenization.adapt import TokenizerFiles
from hub_tools.tokenization.token_map import Kind, VocabMap

Rows = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Given:
    """What new rows are made from.

    Attributes:
        teacher: the model.
        theirs: its tokenizer.
        ours: the student's tokenizer.
        vocab_map: student token -> teacher tokens, in position.
        rows: the teacher's rows, read as float32, shape (teacher vocabulary, hidden).
        corpus: text in the target language, and parallel text where there is some.
        target: the language of the student, one of the corpus.
    """

    teacher: Teacher
    theirs: TokenizerFiles
    ours: TokenizerFiles
    vocab_map: VocabMap
    rows: AnyRows
    corpus: Corpus
    target: str

    @property
    def new(self) -> NDArray[np.int64]:
        """Student ids whose token the teacher does not have, ascending, int64."""
        return np.flatnonzero(self.vocab_map.kinds != Kind.EXACT)


def new_rows(init: Init, given: Given) -> tuple[Rows, dict[str, int]]:
    """The student's rows.

    Args:
        init: `mean`: the mean of the teacher's rows of a token's text (arXiv 2605.29992); `position`: the same in the
            token's position in a word; `length`, `frequency`: that mean, weighted by the pieces' characters or by how
            rare they are; `align`: mixed with rows that word alignment finds in parallel text, without any the same as
            `frequency`; `neighbours`: mixed with the rows of tokens in similar contexts; `distill`: fitted to the
            teacher's hidden states.
        given: what they are made from.

    Returns:
        float32, shape (V, hidden), and how many rows were made so, under the name of the way (`aligned`, ...).
    """
    if init == "align" and not given.corpus.has_pairs:
        init = "frequency"  # the best without pairs in all languages that were tried (docs/results.md)
        if len(given.new):
            log.info("  no parallel text: new rows are means of the teacher's rows of their pieces, rare ones first")
    rows = _means(init, given)
    if init == "align":
        from hub_tools.cloning.aligned_init import mix_aligned

        return rows, {"aligned": mix_aligned(rows, given)}
    if init == "neighbours" and len(given.new):
        from hub_tools.cloning.focus import mix_neighbours

        return rows, {"aligned": 0, "neighbours": mix_neighbours(rows, given)}
    if init == "distill" and len(given.new):
        from hub_tools.cloning.token_distillation import fit_rows

        return rows, {"aligned": 0, "distilled": fit_rows(rows, given)}
    return rows, {"aligned": 0}


def _means(init: Init, given: Given) -> Rows:
    """Rows as means: what is asked for, and what all other ways begin with."""
    from hub_tools.cloning import mean

    found, weights = given.vocab_map, None
    if init == "mean":
        found = mean.surface_map(given.theirs, given.ours, found)
    elif init == "length":
        weights = mean.length_weights(given.theirs, found)
    elif init == "frequency":
        weights = mean.frequency_weights(given.theirs, found, given.corpus.all_texts(given.target, given.target))
    return mean.mean_rows(found, given.rows, weights)
