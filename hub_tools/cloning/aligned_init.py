"""New rows mixed with what their translations are, where there is parallel text."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hub_tools.cloning.ibm_model1 import Links, align, aligned_rows
from hub_tools.cloning.mean import mean_rows
from hub_tools.core.logging import log
from hub_tools.corpus.build import Corpus
from hub_tools.tokenization.token_map import Match, compose_from_own
from hub_tools.tokenization.token_text import surface_of
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.wordpiece import PREFIX

if TYPE_CHECKING:
    from hub_tools.cloning.context import InitContext, Rows

# Share of the aligned row in a new row; the rest is the mean of its pieces.
ALIGNED_SHARE = 0.7
# How links count, and whether those to a piece of a word are shared among all its pieces: benchmarks/align.py compares.
LINKS: Links = "forward"
WHOLE_WORDS = False
_BATCH = 4096


def mix_aligned(rows: Rows, given: InitContext) -> int:
    """Improve the new tokens' rows, in place, with what their translations are; returns how many were aligned.

    A new token that is too rare in the parallel text takes the mean of the student's own rows of its surface,
    most of which are aligned: better than the teacher's pieces, which belong to another language.
    """
    parallel = given.corpus.result.parallel
    log.info("  aligning the words of %s sentence pairs", f"{parallel.train if parallel else 0:,}")
    pairs = token_pairs(given.theirs.load(), given.ours.load(), given.corpus)
    starts = begins_word(given.theirs, len(given.rows)) if WHOLE_WORDS else None
    found = align(pairs, len(given.rows), links=LINKS, word_starts=starts)
    aligned, translations = aligned_rows(found, given.rows, given.new)
    rows[aligned] = (1 - ALIGNED_SHARE) * rows[aligned] + ALIGNED_SHARE * translations
    compose_rare(rows, given.ours, np.setdiff1d(given.new, aligned))
    return len(aligned)


def compose_rare(rows: Rows, student: TokenizerSpec, rare: NDArray[np.int64]) -> None:
    """Give tokens, in place, the mean of the student's other rows of their surface.

    Added tokens that the model does not have (`<|im_start|>`) are no text and keep their rows.
    """
    rare = rare[np.isin(rare, list(student.vocabulary.values()))]
    if len(rare):
        composed = compose_from_own(student, rare)
        usable = composed.kinds != Match.UNKNOWN
        rows[rare[usable]] = mean_rows(composed, rows)[usable]


def token_pairs(teacher: Tokenizer, student: Tokenizer, corpus: Corpus) -> Iterator[tuple[list[int], list[int]]]:
    """Ids of the target side by the student's tokenizer, and of the source side by the teacher's."""
    pairs = corpus.pairs()
    while batch := list(islice(pairs, _BATCH)):
        ours = student.encode_batch_fast([pair.target for pair in batch], add_special_tokens=False)
        theirs = teacher.encode_batch_fast([pair.source for pair in batch], add_special_tokens=False)
        yield from ((a.ids, b.ids) for a, b in zip(ours, theirs, strict=True))


def begins_word(tokenizer: TokenizerSpec, size: int) -> NDArray[np.bool_]:
    """Which ids begin a word, bool, shape (size,); what is no letter stands for itself."""
    found = np.ones(size, bool)
    for token, number in tokenizer.ids.items():
        text, begins = surface_of(tokenizer, token)
        found[number] = begins or not text[:1].isalpha() or (tokenizer.family == "WordPiece" and PREFIX not in token)
    return found
