"""Which teacher tokens a new token stands for: pure data, no weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hub_tools.surgery import TokenizerFiles
from hub_tools.surgery.bpe import BYTE_ALPHABET, Bpe, byte_alphabet, byte_string
from hub_tools.surgery.wordpiece import PREFIX, segmenter
from hub_tools.surgery.words import SPACE, bare_model, segment

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


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

    `##lik` becomes the teacher's continued pieces (`##li`, `##k`), not the pieces of a word "lik"; `lik` of a family
    that marks spaces becomes pieces without a space. The template's special tokens are in no map.

    Args:
        teacher: the teacher's tokenizer.
        student: any other tokenizer, of the same family or not.
    """
    own = teacher.ids
    tokens = sorted(student.ids, key=student.ids.__getitem__)
    same = np.fromiter((own.get(token, -1) for token in tokens), dtype=np.int64, count=len(tokens))
    new = np.flatnonzero(same < 0)
    pieces = _teacher_pieces(teacher, student, [tokens[number] for number in new], own) if len(new) else []
    unknown = own.get(teacher.unknown or "", -1)
    spelled = {own[token] for token in _BYTES if token in own}

    kinds = np.full(len(tokens), Kind.EXACT, dtype=np.int8)
    kinds[new] = [_kind(ids, unknown, spelled) for ids in pieces]
    lengths = np.ones(len(tokens), dtype=np.int64)
    lengths[new] = [len(ids) or 1 for ids in pieces]
    ids = np.repeat(same, lengths)
    ids[ids < 0] = list(chain.from_iterable(ids or [max(unknown, 0)] for ids in pieces))
    return VocabMap(ids=ids, lengths=lengths, kinds=kinds)


def _kind(ids: Sequence[int], unknown: int, spelled: set[int]) -> Kind:
    if not ids or unknown in ids:
        return Kind.FALLBACK
    return Kind.BYTE if spelled.issuperset(ids) else Kind.COMPOSED


def _teacher_pieces(
    teacher: TokenizerFiles, student: TokenizerFiles, tokens: list[str], own: Mapping[str, int]
) -> list[list[int]]:
    """The teacher's ids of the surface of each of the student's tokens."""
    if teacher.family == student.family == "WordPiece":
        return _compose(teacher, tokens, own)
    alphabets = {(f.family == "WordPiece", f.byte_level) for f in (teacher, student)}
    if len(alphabets) == 1 and teacher.spec["normalizer"] == student.spec["normalizer"]:
        return list(segment(bare_model(teacher.spec["model"]), tokens))
    surfaces = [surface_of(student, token) for token in tokens]
    if teacher.family == "WordPiece":
        return _compose(teacher, [text if begins else PREFIX + text for text, begins in surfaces], own)
    normalizer = teacher.load().normalizer
    spelled = []
    for text, begins in surfaces:
        # Space marks that the normalizer adds are put where they belong.
        normal = normalizer.normalize_str(text).replace(SPACE, " ").strip() if normalizer and text else text
        spelled.append(_spell(teacher, normal, begins))
    return list(segment(bare_model(teacher.spec["model"]), spelled))


def surface_of(tokenizer: TokenizerFiles, token: str) -> tuple[str, bool]:
    """The text that a token stands for, without the space before it, and whether it begins a word."""
    if tokenizer.family == "WordPiece":
        return token.removeprefix(PREFIX), not token.startswith(PREFIX)
    if tokenizer.byte_level and BYTE_ALPHABET.issuperset(token):
        text = byte_string(token).decode(errors="ignore")
        return text.removeprefix(" "), text.startswith(" ")
    return token.removeprefix(SPACE).replace(SPACE, " "), token.startswith(SPACE)


def _spell(tokenizer: TokenizerFiles, text: str, begins: bool) -> str:
    """A surface as the tokenizer's model writes it."""
    if tokenizer.byte_level:
        return byte_alphabet(((" " if begins else "") + text).encode())
    return (SPACE if begins else "") + text.replace(" ", SPACE)


def compose_from_own(student: TokenizerFiles, without: NDArray[np.int64]) -> VocabMap:
    """Map some student tokens to the student's other tokens, in position.

    Args:
        student: the student's tokenizer.
        without: student ids, int64, ascending; none of them is used in a composition.

    Returns:
        A map with one entry for each of `without`, whose ids are the student's.
    """
    vocabulary = student.vocabulary
    left_out = set(without.tolist())
    tokens = [token for token, index in sorted(vocabulary.items(), key=lambda item: item[1]) if index in left_out]
    if student.family == "WordPiece":
        rest = {token: index for token, index in vocabulary.items() if index not in left_out}
        rows = _compose(student, tokens, rest)
    else:
        reduced = bare_model(_reduced(student, set(tokens)))
        names = {number: token for token, number in reduced.get_vocab().items()}
        rows = [[vocabulary[names[number]] for number in ids] for ids in segment(reduced, tokens)]
    unknown = vocabulary.get(student.unknown or "", -1)
    kinds = np.array([Kind.FALLBACK if unknown in ids or not ids else Kind.COMPOSED for ids in rows], dtype=np.int8)
    return flat_map([ids or [0] for ids in rows], kinds)


def _reduced(student: TokenizerFiles, gone: set[str]) -> dict[str, Any]:
    """A model without some tokens and without what is built from them."""
    model = student.spec["model"]
    if student.family == "Unigram":
        vocab = [[piece, score] for piece, score in model["vocab"] if piece not in gone]
        unknown = next((n for n, (piece, _) in enumerate(vocab) if piece == student.unknown), None)
        return {**model, "vocab": vocab, "unk_id": unknown}
    family = Bpe(student.spec)
    return family.build([token for token in family.vocabulary if token not in gone], [], [])


def flat_map(rows: Sequence[Sequence[int]], kinds: NDArray[np.int8]) -> VocabMap:
    """A map of the teacher ids of each student token, none of them empty, and their kinds."""
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
