"""Whether a model finds the translations of held-out sentences: it knows the target language then."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus
from hub_tools.models.encoder import encode, unit

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_PAIRS = 1000
# A teacher that finds the translation of fewer held-out sentences than this does not know the language, and its vectors
# of that language teach nothing. English-only teachers find a tenth, multilingual ones nearly all.
KNOWS_LANGUAGE = 0.5
# One that finds so many knows both languages, and its vector of a translation is a better goal than that of the source.
# multilingual-e5-small finds 82% of Tatoeba's Turkish ones, all-MiniLM-L6-v2 a tenth.
KNOWS_WELL = 0.75
Vectors = NDArray[np.float32]


def heldout_pairs(corpus: Corpus) -> dict[str, str]:
    """Return up to a thousand held-out pairs, source -> target; of those with one side in common the first.

    Otherwise the translation of one would count as a mistake for the other.
    """
    pairs: dict[str, str] = {}
    targets: set[str] = set()
    for pair in islice(corpus.pairs("heldout"), _PAIRS):
        if pair.source not in pairs and pair.target not in targets:
            pairs[pair.source] = pair.target
            targets.add(pair.target)
    return pairs


def bitext_accuracy(model: SentenceTransformer, pairs: dict[str, str], hardware: Hardware) -> float:
    """Return the share of target sentences whose nearest source sentence is their own."""
    source, target = (unit(encode(model, side, hardware)) for side in (list(pairs), list(pairs.values())))
    return float(np.mean((target @ source.T).argmax(axis=1) == np.arange(len(source))))
