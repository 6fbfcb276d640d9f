"""WordPiece: words segmented by longest match, tokens learned by merges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from hub_tools.core.logging import bar
from hub_tools.tokenization.pretokenization import WordCounts, running_text, segment

PREFIX = "##"


def segmenter(vocab: Mapping[str, int], unk_token: str, prefix: str = PREFIX) -> Tokenizer:
    """Return a tokenizer of single words: no normalizer, no pre-tokenizer, no template."""
    return Tokenizer(models.WordPiece(vocab=dict(vocab), unk_token=unk_token, continuing_subword_prefix=prefix))


def word_lengths(tokenizer: Tokenizer, words: Sequence[str], unk_token: str | None) -> NDArray[np.int64]:
    """Count the tokens of each word, int64, shape (words,).

    An unknown word costs its characters: losing it must not look cheap.
    """
    unk_id = tokenizer.token_to_id(unk_token) if unk_token else None
    segmented = zip(words, segment(tokenizer, words), strict=True)
    return np.array([len(word) if ids == [unk_id] else len(ids) for word, ids in segmented], dtype=np.int64)


def learn_tokens(words: WordCounts, size: int) -> list[str]:
    """Learn tokens of two characters and more from words, most useful first.

    `size` counts their single characters too, in both positions.
    """
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token, not a password
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    # The trainer numbers continued characters in the order of a hash map and breaks ties between merges by these
    # numbers: only when they are given beforehand do the same texts give the same tokens.
    alphabet = [form for c in sorted(set(chain.from_iterable(words.words))) for form in (c, PREFIX + c)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=2, continuing_subword_prefix=PREFIX, special_tokens=alphabet, show_progress=False
    )
    with bar("learning tokens", len(words.words), " words", is_part=True) as progress:

        def seen() -> Iterator[str]:
            for text in running_text(words):
                yield text
                progress.update()

        learner.train_from_iterator(seen(), trainer)
    learned = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    return [token for token, _ in learned if len(token.removeprefix(PREFIX)) > 1]
