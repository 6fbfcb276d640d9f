"""Which teacher tokens a new token stands for: pure data, no weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hub_tools.errors import UserError
from hub_tools.surgery import TokenizerFiles
from hub_tools.surgery.wordpiece import PREFIX, segment, segmenter


class Kind(IntEnum):
    """How a student token's row is found.

    exact: the teacher has the same token. composed: from the teacher's tokens of its surface. byte: from
    byte tokens. fallback: the teacher can only read it as unknown.
    """

    EXACT = 0
    COMPOSED = 1
    BYTE = 2
    FALLBACK = 3


@dataclass(frozen=True, kw_only=True)
class VocabMap:
    """For each student token its teacher tokens, as one flat list.

    Attributes:
        ids: teacher ids, int64, shape (sum of lengths,).
        lengths: how many of them belong to each student token, int64, shape (V,).
        kinds: a `Kind` for each student token, int8, shape (V,).
    """

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    kinds: NDArray[np.int8]

    def count(self, kind: Kind) -> int:
        """How many student tokens are of this kind."""
        return int((self.kinds == kind).sum())

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each token's ids begin, int64, shape (V,)."""
        return np.concatenate(([0], np.cumsum(self.lengths)[:-1])).astype(np.int64)


def map_vocabulary(teacher: TokenizerFiles, student: TokenizerFiles) -> VocabMap:
    """Map each student token to the teacher tokens of its surface, in its position in a word.

    `##lik` becomes the teacher's continued pieces (`##li`, `##k`), not the pieces of a word "lik".

    Args:
        teacher: the teacher's tokenizer.
        student: any tokenizer with no new token, or a WordPiece one.

    Raises:
        UserError: there are new tokens and one of the two is no WordPiece tokenizer.
    """
    own = teacher.load().get_vocab(with_added_tokens=True)
    tokens = sorted(student.load().get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
    new = [token for token, _ in tokens if token not in own]
    if new and (teacher.family, student.family) != ("WordPiece", "WordPiece"):
        raise UserError(
            f"The teacher's tokenizer is a {teacher.family} model, the student's a {student.family} one; rows for new "
            "tokens can be composed between WordPiece models (BERT, MiniLM, LaBSE) so far."
        )
    pieces = dict(zip(new, _compose(teacher, new, own) if new else [], strict=True))
    unknown = own.get(teacher.spec["model"].get("unk_token") or "", -1)

    rows: list[Sequence[int]] = []
    kinds = np.zeros(len(tokens), dtype=np.int8)
    for index, (token, _) in enumerate(tokens):
        ids = [own[token]] if token in own else pieces[token]
        rows.append(ids)
        if token not in own:
            kinds[index] = Kind.FALLBACK if unknown in ids else Kind.COMPOSED
    return _flat(rows, kinds)


def compose_from_own(student: TokenizerFiles, without: NDArray[np.int64]) -> VocabMap:
    """Map some student tokens to the student's other tokens, in position.

    Args:
        student: the student's tokenizer.
        without: student ids, int64, ascending; none of them is used in a composition.

    Returns:
        A map with one entry for each of `without`, whose ids are the student's.
    """
    vocabulary: dict[str, int] = student.spec["model"]["vocab"]
    left_out = set(without.tolist())
    rest = {token: index for token, index in vocabulary.items() if index not in left_out}
    tokens = [token for token, index in sorted(vocabulary.items(), key=lambda item: item[1]) if index in left_out]
    rows = _compose(student, tokens, rest)
    unknown = vocabulary[student.spec["model"]["unk_token"]]
    kinds = np.array([Kind.FALLBACK if unknown in ids else Kind.COMPOSED for ids in rows], dtype=np.int8)
    return _flat(rows, kinds)


def _flat(rows: Sequence[Sequence[int]], kinds: NDArray[np.int8]) -> VocabMap:
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    ids = np.fromiter((i for row in rows for i in row), dtype=np.int64, count=int(lengths.sum()))
    return VocabMap(ids=ids, lengths=lengths, kinds=kinds)


def _compose(tokenizer: TokenizerFiles, tokens: list[str], vocabulary: Mapping[str, int]) -> list[list[int]]:
    """Ids from a vocabulary for each token's surface, as a tokenizer normalizes and splits it; never empty."""
    backend = tokenizer.load()
    unknown = tokenizer.spec["model"]["unk_token"]
    words = segmenter(vocabulary, unknown)
    # Words whose beginning is already behind us: only continued pieces, their prefix taken off.
    continued_ids = {t.removeprefix(PREFIX): i for t, i in vocabulary.items() if t.startswith(PREFIX)} | {
        unknown: vocabulary[unknown]
    }
    continued = segmenter(continued_ids, unknown, prefix="")
    surfaces = [_words_of(backend, token.removeprefix(PREFIX)) or [unknown] for token in tokens]
    inside = [token.startswith(PREFIX) for token in tokens]
    heads = [
        (c if mid else w)
        for mid, w, c in zip(
            inside, segment(words, [s[0] for s in surfaces]), segment(continued, [s[0] for s in surfaces]), strict=True
        )
    ]
    tails = segment(words, [word for surface in surfaces for word in surface[1:]])
    return [head + [i for _ in surface[1:] for i in next(tails)] for head, surface in zip(heads, surfaces, strict=True)]


def _words_of(tokenizer: Tokenizer, surface: str) -> list[str]:
    text = tokenizer.normalizer.normalize_str(surface) if tokenizer.normalizer else surface
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
