"""How sure a figure is: what it is over items that are drawn anew (Efron and Tibshirani, 1993)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hub_tools.evaluation.metrics import Measure
from hub_tools.results import Figure, Interval

_DRAWS, _SEED = 1000, 42
_LOW, _HIGH = 2.5, 97.5  # bounds of 95%
_DIGITS = 5


def figures(measures: Mapping[str, Measure]) -> dict[str, Figure | None]:
    """Return the figures of models at one task, and their differences to those before them; None: not defined.

    All models are measured on the same drawn items, so a difference is surer than the figures that it is of. Where the
    items are not known there are no bounds.
    """
    n = next((measure.n for measure in measures.values() if measure.has_items), 0)
    rng = np.random.default_rng(_SEED)
    draws = [rng.integers(n, size=n) for _ in range(_DRAWS if n else 0)]
    values = {name: measure.value for name, measure in measures.items()}
    drawn = {
        name: np.array([measure.over(items) for items in draws])
        for name, measure in measures.items()
        if measure.has_items and math.isfinite(values[name])
    }
    found: dict[str, Figure | None] = {}
    for name, value in values.items():
        if not math.isfinite(value):
            found[name] = None
            continue
        own = drawn.get(name)
        differences = {
            other: _interval(value - values[other], own - drawn[other] if own is not None and other in drawn else None)
            for other, figure in found.items()
            if figure is not None
        }
        interval = _interval(value, own)
        found[name] = Figure(value=interval.value, low=interval.low, high=interval.high, differences=differences)
    return found


def _interval(value: float, drawn: NDArray[np.float64] | None) -> Interval:
    if drawn is None:
        return Interval(value=round(value, _DIGITS))
    # A draw may hold a single class, where a figure is not defined.
    low, high = np.nanpercentile(drawn, [_LOW, _HIGH])
    return Interval(value=round(value, _DIGITS), low=round(float(low), _DIGITS), high=round(float(high), _DIGITS))
