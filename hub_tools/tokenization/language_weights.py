"""How much each language counts in a vocabulary, and so in what the student learns."""

from __future__ import annotations

import math

# Chosen on held-out text with Tekken halved for Turkish: half on the target cost the others 7.6% more tokens, this
# 4.8%, for 3% more Turkish ones.
_TARGET, _ENGLISH, _OTHERS = 0.35, 0.25, 0.4
# A small vocabulary has no room for others: they only order what target and English leave. From a large one on they
# have their whole weight.
_SMALL, _LARGE = 32_768, 131_072
_LEAST_OTHERS = 0.01


def language_weights(languages: list[str], targets: tuple[str, ...], vocab_size: int) -> dict[str, float]:
    """Return the weight of each language in the objective, the same for all targets; they sum to 1.

    English that is a target brings its weight along, so that a second target takes nothing from the first.
    """
    others = [lang for lang in languages if lang not in (*targets, "en")]
    weights = {lang: _others_weight(vocab_size) / len(others) for lang in others}
    weights |= dict.fromkeys(targets, (_TARGET + _ENGLISH * ("en" in targets)) / len(targets))
    if "en" in languages and "en" not in targets:
        weights["en"] = _ENGLISH
    total = sum(weights.values())
    return {lang: weight / total for lang, weight in weights.items()}


def others_share(vocab_size: int) -> float:
    """Return what all languages but the targets and English weigh together, of 1."""
    weight = _others_weight(vocab_size)
    return weight / (_TARGET + _ENGLISH + weight)


def _others_weight(vocab_size: int) -> float:
    """Return what all other languages weigh together: it grows with the logarithm of the size.

    For example, 0.01 up to 32,768 tokens, 0.205 at 65,536, 0.4 from 131,072 on.
    """
    way = math.log(vocab_size / _SMALL) / math.log(_LARGE / _SMALL)
    return _LEAST_OTHERS + (_OTHERS - _LEAST_OTHERS) * min(max(way, 0.0), 1.0)
