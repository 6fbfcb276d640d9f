"""What shortened and quantised vectors lose, by sentence-transformers' own means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from hub_tools.core.logging import log
from hub_tools.evaluation.bootstrap import figures
from hub_tools.evaluation.data import Bitext, Retrieval, Similarity
from hub_tools.evaluation.metrics import Vectors
from hub_tools.evaluation.mteb_tasks import AnyTask
from hub_tools.evaluation.subject import Subject
from hub_tools.evaluation.tasks import Task
from hub_tools.models.encoder import unit
from hub_tools.models.loading import backbone
from hub_tools.results import Figure, SmallerVectors

_HALVINGS = 3  # of the dimension, where nothing says which lengths a model was trained for


class _Form(NamedTuple):
    """A form of vectors: the bytes of one, and the numbers by which those of one side compare as in this form.

    The function takes the vectors of the side, and those that a quantisation is made from.
    """

    size: int
    of: Callable[[Vectors, Vectors], Vectors]


def smaller_vectors(
    subjects: Mapping[str, Subject], tasks: Iterable[AnyTask], lengths: Sequence[int] = ()
) -> list[SmallerVectors]:
    """Return what models reach at retrieval, similarity and translations in files with vectors in each form.

    `lengths` are those that the models were trained for; where they are not given, the ones that a model names itself,
    or halves of its dimension.
    """
    ours = [t for t in tasks if isinstance(t, Task) and isinstance(t.data, Retrieval | Similarity | Bitext)]
    if ours:
        log.debug("  shortened and quantised vectors")
    return [_measured(name, subject, task, lengths) for name, subject in subjects.items() for task in ours]


def _measured(name: str, subject: Subject, task: Task, lengths: Sequence[int]) -> SmallerVectors:
    vectors = task.vectors(subject)
    # An index holds the passages; where there are none, the texts of both sides.
    base = vectors[-1] if isinstance(task.data, Retrieval) else np.concatenate(vectors)
    forms = _forms(base.shape[1], lengths or _own_lengths(subject))
    measures = {form: task.judge(*(make.of(side, base) for side in vectors))[0] for form, make in forms.items()}
    measure = next(iter(measures.values()))
    return SmallerVectors(
        model=name,
        task=task.name,
        split=task.split,
        metric=measure.metric,
        n=measure.n,
        bytes={form: make.size for form, make in forms.items()},
        figures={form: _with_first_difference(figure) for form, figure in figures(measures).items()},
    )


def _forms(dim: int, lengths: Sequence[int]) -> dict[str, _Form]:
    """Return the forms of vectors of a dimension, the whole vector first."""
    lengths = lengths or [dim // 2**halving for halving in range(1, _HALVINGS + 1)]
    shorter = sorted((length for length in lengths if 0 < length < dim), reverse=True)
    return {
        "float32": _Form(4 * dim, lambda vectors, _: vectors),
        **{f"{length} numbers": _Form(4 * length, _shortened(length)) for length in shorter},
        "int8": _Form(dim, _int8),
        "binary": _Form(-(-dim // 8), _binary),
    }


def _shortened(length: int) -> Callable[[Vectors, Vectors], Vectors]:
    from sentence_transformers.util import truncate_embeddings

    return lambda vectors, _: unit(truncate_embeddings(vectors, length))


def _int8(vectors: Vectors, base: Vectors) -> Vectors:
    from sentence_transformers import quantize_embeddings

    quantised: Any = quantize_embeddings(vectors, "int8", calibration_embeddings=base)
    return unit(quantised.astype(np.float32))


def _binary(vectors: Vectors, _: Vectors) -> Vectors:
    """Return bits as 1 and -1: their product is the dimension less twice the Hamming distance."""
    from sentence_transformers import quantize_embeddings

    bits = np.unpackbits(np.asarray(quantize_embeddings(vectors, "ubinary")), axis=1, count=vectors.shape[1])
    return 2 * bits.astype(np.float32) - 1


def _own_lengths(subject: Subject) -> list[int]:
    """Return the lengths that a model's configuration names; the key is that which engines for embeddings read."""
    named = getattr(getattr(backbone(subject.model), "config", None), "matryoshka_dimensions", None)
    return [length for length in named or () if isinstance(length, int)] if isinstance(named, list | tuple) else []


def _with_first_difference(figure: Figure | None) -> Figure | None:
    return figure and replace(figure, differences=dict(list(figure.differences.items())[:1]))
