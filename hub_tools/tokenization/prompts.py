"""Prompts: what a model puts before a text is read by the student in its teacher's pieces, whatever is learned.

The pieces stay in the vocabulary, and no token is learned that occurs in a prompt. That is enough in each family:

- BPE: the merges that made the pieces are kept, in their order, so they happen again; learned ones come after them and
  could only join neighbours, into a string of the prompt.
- Unigram: the teacher's cut is the best one of all, so also of those that the kept pieces allow, whose scores are the
  same; a better one would need a learned piece.
- WordPiece: at each place the teacher's piece is its longest match; a longer one would have to be learned.

The same holds for any text of which all pieces are kept, and in which no learned token occurs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, Self

from tokenizers import Tokenizer

from hub_tools.tokenization.bpe import byte_alphabet
from hub_tools.tokenization.pretokenization import SPACE
from hub_tools.tokenization.token_text import TokenAlphabet
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.wordpiece import PREFIX

_BETWEEN_WORDS = "\0"
# The end of a prompt that no white space keeps apart from the text.
_OPEN_END = re.compile(r"\s?(?:[^\w\s]|_)+\Z")
# Texts begin with a letter, a capital, a digit, a quotation mark or a bracket.
_BEGINNINGS = ("", "a", "A", "1", '"', "(")


@dataclass(frozen=True, kw_only=True)
class PromptPieces:
    """The teacher's pieces of some prompts, and which learned tokens would take their place."""

    tokens: frozenset[str] = frozenset()
    words: str = ""  # those of the prompts, as the model meets them; for WordPiece a mark stands where one begins
    open_ends: tuple[str, ...] = ()  # of byte-level tokens, which alone may join the end of a prompt and the text
    continued: str = ""  # the prefix of continued tokens

    @classmethod
    def of(cls, teacher: TokenizerSpec, prompts: Iterable[str]) -> Self:
        """Segment prompts, as texts of which nothing follows."""
        continued = PREFIX if teacher.family == "WordPiece" else ""
        backend, token_of = teacher.load(), _token_names(teacher)
        tokens, words, open_ends = set[str](), list[str](), set[str]()
        for prompt in prompts:
            encoding = backend.encode(prompt, add_special_tokens=False)
            pieces = [token_of[token_id] for token_id in encoding.ids]
            tokens.update(pieces)
            for _, word in groupby(zip(encoding.word_ids, pieces, strict=True), key=lambda item: item[0]):
                words.append((SPACE if continued else "") + "".join(piece.removeprefix(continued) for _, piece in word))
            if teacher.byte_level and (end := _OPEN_END.search(prompt)):
                open_ends |= {byte_alphabet(end[0][start:].encode()) for start in range(len(end[0]))}
        return cls(
            tokens=frozenset(tokens),
            words=_BETWEEN_WORDS.join(words),
            open_ends=tuple(sorted(open_ends)),
            continued=continued,
        )

    def touched_by(self, token: str) -> bool:
        """Return whether a learned token occurs in a prompt, or joins the end of one with the text."""
        if not self.continued:
            return token in self.words or token.startswith(self.open_ends)
        is_inside = token.startswith(self.continued)
        return (token.removeprefix(self.continued) if is_inside else SPACE + token) in self.words


class ChangedPrompt(NamedTuple):
    """A prompt and its pieces, where the student's are not the teacher's."""

    prompt: str
    teacher: list[str]
    student: list[str]


def changed_prompts(
    teacher: TokenizerSpec, student: TokenizerSpec, prompts: Iterable[str], texts: Iterable[str]
) -> list[ChangedPrompt]:
    """Return those of the prompts that the student reads otherwise, alone or before one of the texts.

    Tokenizers of two families are compared by the text of their pieces, without the spaces before them.
    """
    beginnings, changed = [*_BEGINNINGS, *texts], []
    sides = [(spec.load(), _token_names(spec), TokenAlphabet.of(spec)) for spec in (teacher, student)]
    for prompt in dict.fromkeys(prompts):
        for text in beginnings:
            theirs, ours = (_pieces(backend, names, prompt, text) for backend, names, _ in sides)
            read = [
                [alphabet.decode(p)[0] for p in own] for own, (*_, alphabet) in zip((theirs, ours), sides, strict=True)
            ]
            if read[1][: len(read[0])] != read[0]:
                changed.append(ChangedPrompt(prompt, theirs, ours))
                break
    return changed


def _pieces(backend: Tokenizer, token_of: dict[int, str], prompt: str, text: str) -> list[str]:
    """Return the pieces of a prompt before a text that end in it; the spaces at its end belong to the text."""
    encoding, end = backend.encode(prompt + text, add_special_tokens=False), len(prompt.rstrip())
    ends = (piece_end for _, piece_end in encoding.offsets)
    return [token_of[number] for number, piece_end in zip(encoding.ids, ends, strict=True) if piece_end <= end]


def _token_names(tokenizer: TokenizerSpec) -> dict[int, str]:
    # By their ids: an unknown piece of a Unigram model has its text as its token.
    return {number: token for token, number in tokenizer.vocab.items()}
