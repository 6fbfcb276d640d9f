"""WordPiece: words counted in the teacher's pre-tokenization, segmented by longest match, learned by merges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, trainers

PREFIX = "##"
_BLOCK = 512
_BATCH = 50_000


@dataclass(frozen=True, kw_only=True)
class WordTable:
    """The distinct words of a language and how often each occurs.

    Attributes:
        words: distinct normalized words.
        counts: int64, shape (words,).
    """

    words: list[str]
    counts: NDArray[np.int64]

    @property
    def total(self) -> int:
        """Running words."""
        return int(self.counts.sum())


def count_words(tokenizer: Tokenizer, texts: Iterable[str]) -> WordTable:
    """Count the words that the tokenizer's normalizer and pre-tokenizer make of the texts.

    Memory grows with the number of distinct words, not with the text.
    """
    counts: Counter[str] = Counter()
    iterator = iter(texts)
    # One call for many texts: the words of two texts never touch, a line break lies between them.
    while block := "\n".join(islice(iterator, _BLOCK)):
        normalized = tokenizer.normalizer.normalize_str(block) if tokenizer.normalizer else block
        counts.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return WordTable(words=[w for w, _ in ordered], counts=np.array([n for _, n in ordered], dtype=np.int64))


def segmenter(vocabulary: Mapping[str, int], unknown: str, prefix: str = PREFIX, longest_word: int = 100) -> Tokenizer:
    """A tokenizer of single words: no normalizer, no pre-tokenizer, no template."""
    return Tokenizer(
        models.WordPiece(
            vocab=dict(vocabulary),
            unk_token=unknown,
            continuing_subword_prefix=prefix,
            max_input_chars_per_word=longest_word,
        )
    )


def segment(tokenizer: Tokenizer, words: list[str]) -> Iterator[list[int]]:
    """Token ids of each word."""
    for start in range(0, len(words), _BATCH):
        yield from (e.ids for e in tokenizer.encode_batch_fast(words[start : start + _BATCH], add_special_tokens=False))


def token_counts(tokenizer: Tokenizer, table: WordTable) -> NDArray[np.int64]:
    """How often each token occurs in the running text; shape (vocabulary,), int64."""
    ids = list(segment(tokenizer, table.words))
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    flat = np.fromiter(chain.from_iterable(ids), dtype=np.int64, count=int(lengths.sum()))
    weights = np.repeat(table.counts, lengths)
    return np.bincount(flat, weights=weights, minlength=tokenizer.get_vocab_size()).astype(np.int64)


def word_lengths(tokenizer: Tokenizer, words: list[str], unknown: str) -> NDArray[np.int64]:
    """Tokens of each word, shape (words,). An unknown word costs its characters: losing it must not look cheap."""
    unknown_id = tokenizer.token_to_id(unknown)
    found = zip(words, segment(tokenizer, words), strict=True)
    return np.array([len(word) if ids == [unknown_id] else len(ids) for word, ids in found], dtype=np.int64)


def learn_tokens(tokenizer: Tokenizer, texts: Iterable[str], size: int, characters: Iterable[str]) -> list[str]:
    """Tokens learned from text in the tokenizer's own normalization and pre-tokenization.

    Args:
        tokenizer: gives the normalizer and the pre-tokenizer.
        texts: text in the target language.
        size: how many tokens, single characters included.
        characters: the characters of the normalized texts.

    Returns:
        Tokens of two characters and more, most useful first, continued ones with their prefix.
    """
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token, not a password
    learner.normalizer = tokenizer.normalizer
    learner.pre_tokenizer = tokenizer.pre_tokenizer
    # The trainer numbers continued characters in the order of a hash map and breaks ties between merges by these
    # numbers: only when they are given beforehand do the same texts give the same tokens.
    alphabet = [form for c in sorted(set(characters)) for form in (c, PREFIX + c)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=2, continuing_subword_prefix=PREFIX, special_tokens=alphabet, show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    learned = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    return [token for token, _ in learned if len(token.removeprefix(PREFIX)) > 1]
