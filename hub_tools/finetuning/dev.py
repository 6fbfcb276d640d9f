"""What decides how much of a training is kept: held-out examples, and what the run held out before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hub_tools.core.hardware import Hardware
from hub_tools.core.languages import name_of
from hub_tools.corpus.build import Corpus
from hub_tools.evaluation.costs import paragraphs_of
from hub_tools.evaluation.metrics import Vectors
from hub_tools.evaluation.subject import Role, Subject
from hub_tools.evaluation.tasks import Task, heldout_task
from hub_tools.vectors.agreement import agreement

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Points, of 100, that no measure may lose.
TOLERANCE = 0.5
# Held-out texts whose neighbours are compared with the teacher's, and how few say nothing.
_SENTENCES, _PARAGRAPHS, _FEWEST = 600, 200, 20


class _Space(NamedTuple):
    """Texts, and the teacher's vectors of them."""

    name: str
    texts: list[str]
    role: Role
    teachers: Vectors


class Dev:
    """Measures of a model on data that nothing is trained on, x100, by name."""

    def __init__(
        self,
        tasks: Iterable[Task | None],
        corpus: Corpus,
        targets: tuple[str, ...],
        teacher: Subject | None,
        hardware: Hardware,
    ) -> None:
        self.tasks = [task for task in (*tasks, heldout_task(corpus, targets[0])) if task is not None]
        self._hardware = hardware
        self._spaces = list(_spaces(corpus, targets, teacher)) if teacher is not None else []

    def measure(self, model: SentenceTransformer) -> dict[str, float]:
        """Return the first measure of each task, and how well a model ranks texts as the teacher does."""
        subject = Subject(lambda: model, self._hardware.exact)
        found = {}
        for task in self.tasks:
            measure = task.measure(subject)[0]
            found[f"{task.name}, {measure.metric}"] = round(100 * measure.value, 2)
        for space in self._spaces:
            own = subject.encode(space.texts, space.role, space.name)
            found[space.name] = round(100 * agreement(space.teachers, own).ranks, 2)
        return found


def _spaces(corpus: Corpus, targets: tuple[str, ...], teacher: Subject) -> Iterable[_Space]:
    for lang in targets:
        texts = list(corpus.texts(lang, "heldout", 10 * _SENTENCES)) if lang in corpus.languages else []
        which = f" in {name_of(lang)}" if len(targets) > 1 else ""
        kinds: tuple[tuple[str, Sequence[str], Role], ...] = (
            ("sentences", texts[:_SENTENCES], "query"),
            ("paragraphs", paragraphs_of(texts, lang, _PARAGRAPHS), "document"),
        )
        for kind, some, role in kinds:
            if len(some) >= _FEWEST:
                name = f"agreement with the teacher, {kind}{which}"
                yield _Space(name, list(some), role, teacher.encode(list(some), role, name))
