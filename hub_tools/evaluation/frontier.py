"""How many tokens to learn: as many as leave the clone as near to its goal as the plain trim is, before any training.

Learned tokens make texts shorter, and every text that has one of them is read through a row that the teacher never
saw. What that costs is measured on held-out text of the languages that they were learned for, with clones that have
many, some and no learned tokens. Where the teacher reads the language well, that is more than a training of some hours
brings back (docs/results.md); where it does not, the learned tokens, aligned to those of another language, are nearer
to the goal at once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from hub_tools.core.logging import log
from hub_tools.corpus.build import Corpus
from hub_tools.evaluation.metrics import Vectors
from hub_tools.evaluation.subject import Subject
from hub_tools.results import Agreement, Split
from hub_tools.vectors.agreement import agreement
from hub_tools.vectors.bitext import KNOWS_LANGUAGE, KNOWS_WELL, bitext_accuracy, heldout_pairs

# Held-out texts of each kind that clones are measured on, and how few of them say nothing.
_TEXTS, _FEWEST = 400, 50
# How much less well than the trim a clone may rank the similarities of the texts.
_LEVEL = 0.01


class Goals(NamedTuple):
    """Texts, and the vectors that a student will learn for them."""

    texts: list[str]
    vectors: Vectors

    def reached_by(self, model: Subject) -> Agreement:
        """Return how near a model is to them."""
        return agreement(self.vectors, model.encode(self.texts, "query", "held-out text"))


def heldout_goals(teacher: Subject, corpus: Corpus, targets: tuple[str, ...]) -> Goals | None:
    """Return held-out texts of the targets with the vectors they should have; None if too few to judge by.

    That is the teacher's vector of the same text, for text in the language of the translations only if the teacher
    knows it; a translation has that of its source unless the teacher knows both well. What the training will be towards
    would not do for these: it is so far from the space of the trim that the harm of learned tokens is hardly seen. Nor
    would text of other languages: nearly all similarities would be to texts that no learned token touches.
    """
    known = heldout_pairs(corpus)
    pairs = dict(islice(known.items(), _TEXTS))
    translations, goals = list(pairs.values()), list(pairs)
    own = {lang: list(corpus.texts(lang, "heldout", _TEXTS)) for lang in targets if lang in corpus.languages}
    if known:
        accuracy = bitext_accuracy(teacher.model, known, teacher.hardware)  # by which the embed stage decides too
        if accuracy < KNOWS_LANGUAGE:
            own.pop(targets[0], None)
        if accuracy >= KNOWS_WELL:
            goals = translations
    alone = [text for texts in own.values() for text in texts]
    texts = [*translations, *alone]
    return Goals(texts, teacher.encode([*goals, *alone], "query", "goals")) if len(texts) >= _FEWEST else None


def choose(splits: Mapping[str, Split], trim: str) -> str:
    """Return the split with the most learned tokens whose clone is as near to the goal as the trim is."""
    least = splits[trim].agreement.ranks - _LEVEL
    good = [name for name, split in splits.items() if split.agreement.ranks >= least]
    chosen = max(good, key=lambda name: splits[name].learned)
    for name, split in splits.items():
        words = ", ".join(f"{lang} {value:.2f}" for lang, value in split.tokens_per_word.items())
        log.log(
            logging.INFO if name == chosen else logging.DEBUG,
            "  %s learned tokens: %s tokens per word, similarities of held-out text ranked %.1f of 100%s",
            f"{split.learned:,}",
            words,
            100 * split.agreement.ranks,
            "; chosen" if name == chosen else "",
        )
    return chosen
