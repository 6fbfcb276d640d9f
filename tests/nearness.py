"""How near vectors are to those that are expected."""

from __future__ import annotations

import numpy as np


def least_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Return the least cosine of two rows in the same place, shapes (rows, dim); null vectors have to be the same."""
    known = np.linalg.norm(b, axis=1) > 0
    assert a[~known].tolist() == b[~known].tolist()
    a, b = a[known], b[known]
    return float(((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())
