"""New rows mixed with the rows of their translations, where there is parallel text."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hub_tools.cloning.context import InitContext, Rows
from hub_tools.cloning.ibm_model1 import align, aligned_rows
from hub_tools.cloning.mean import subword_mean
from hub_tools.core.errors import UserError
from hub_tools.core.logging import log
from hub_tools.corpus.build import Corpus
from hub_tools.tokenization.token_map import Match, compose_from_others
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

# Share of the aligned row in a new row; the rest is the mean of its pieces.
ALIGNED_SHARE = 0.7
_BATCH = 4096


def mix_aligned(rows: Rows, context: InitContext) -> int:
    """Improve the new tokens' rows, in place, with those of their translations; return how many were aligned.

    A new token that is too rare in the parallel text takes the mean of the student's rows of its text, most of which
    are aligned: better than the teacher's pieces, which belong to another language.
    """
    parallel = context.corpus.result.parallel
    log.debug("  aligning the words of %s sentence pairs", f"{parallel.train if parallel else 0:,}")
    pairs = _token_pairs(context.teacher_spec.load(), context.student_spec.load(), context.corpus)
    alignment = align(pairs, len(context.teacher_rows), context.scratch)
    aligned, translations = aligned_rows(alignment, context.teacher_rows, context.new_ids)
    rows[aligned] = (1 - ALIGNED_SHARE) * rows[aligned] + ALIGNED_SHARE * translations
    compose_rare(rows, context.student_spec, np.setdiff1d(context.new_ids, aligned))
    return len(aligned)


def compose_rare(rows: Rows, student: TokenizerSpec, rare: NDArray[np.int64]) -> None:
    """Give tokens, in place, the mean of the student's other rows of their text.

    Added tokens that the model does not have (`<|im_start|>`) are no text and keep their rows, and so do the tokens of
    a WordLevel model: whole words are not made of others.
    """
    if student.family == "WordLevel":
        return
    rare = rare[np.isin(rare, list(student.model_vocab.values()))]
    if len(rare):
        try:
            composed = compose_from_others(student, rare)
        except UserError as error:
            raise UserError(
                "--init align and focus take a tokenizer's rare tokens apart, which this kind of BPE does not allow: "
                "give --init frequency, or another --tokenizer."
            ) from error
        usable = composed.kinds != Match.UNKNOWN
        rows[rare[usable]] = subword_mean(composed, rows)[usable]


def _token_pairs(teacher: Tokenizer, student: Tokenizer, corpus: Corpus) -> Iterator[tuple[list[int], list[int]]]:
    """Yield ids of the target side by the student's tokenizer, and of the source side by the teacher's."""
    pairs = corpus.pairs()
    while batch := list(islice(pairs, _BATCH)):
        targets = student.encode_batch_fast([pair.target for pair in batch], add_special_tokens=False)
        sources = teacher.encode_batch_fast([pair.source for pair in batch], add_special_tokens=False)
        yield from ((target.ids, source.ids) for target, source in zip(targets, sources, strict=True))
