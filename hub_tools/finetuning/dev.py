"""What decides how much of a training is kept: held-out examples, and what the run held out before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hub_tools.core.hardware import Hardware
from hub_tools.core.languages import WITHOUT_SPACES
from hub_tools.corpus.build import Corpus
from hub_tools.evaluation.costs import paragraphs_of
from hub_tools.evaluation.data import Retrieval
from hub_tools.evaluation.metrics import Vectors
from hub_tools.evaluation.subject import Role, Subject
from hub_tools.evaluation.tasks import Task, heldout_task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Points, of 100, that no measure may lose.
TOLERANCE = 0.5
# Held-out texts that are compared with the teacher's vectors of them, and how few say nothing.
_SENTENCES, _PARAGRAPHS, _FEWEST = 600, 200, 20
# The longest of them, which are halved.
_HALVED = 400


class _Space(NamedTuple):
    """Texts, and the teacher's vectors of them."""

    name: str
    texts: list[str]
    role: Role
    teachers: Vectors


class Dev:
    """Measures of a model on data that nothing is trained on, x100, by name.

    They are the first measure of each task: those of the held-out examples, the search for translations and, where no
    search is among the examples, that for the second half of a text by its first one, which stands for it. Then the
    share of texts whose vector lies nearer to the teacher's of the same text than to those of others. How a student
    orders similarities is not compared with the teacher: labels change that.
    """

    def __init__(
        self,
        tasks: Iterable[Task | None],
        corpus: Corpus,
        targets: tuple[str, ...],
        teacher: Subject | None,
        hardware: Hardware,
    ) -> None:
        texts = {
            lang: list(corpus.texts(lang, "heldout", 10 * _SENTENCES)) for lang in targets if lang in corpus.languages
        }
        paragraphs = {lang: paragraphs_of(own, lang, _PARAGRAPHS) for lang, own in texts.items()}
        own_tasks = [task for task in tasks if task is not None]
        searches = any(isinstance(task.data, Retrieval) for task in own_tasks)
        found = [heldout_task(corpus, targets[0]), *(_halves(own, lang) for lang, own in texts.items() if not searches)]
        self.tasks = [*own_tasks, *(task for task in found if task is not None)]
        self._hardware = hardware
        self._spaces: list[_Space] = []
        if teacher is not None:
            for lang in texts:
                self._spaces += _spaces(texts[lang][:_SENTENCES], paragraphs[lang], lang, teacher)

    def measure(self, model: SentenceTransformer) -> dict[str, float]:
        """Return what a model reaches."""
        subject = Subject(lambda: model, self._hardware)
        found = {}
        for task in self.tasks:
            measure = task.measure(subject)[0]
            found[f"{task.name}, {measure.metric}"] = round(100 * measure.value, 2)
        for space in self._spaces:
            nearest = (subject.encode(space.texts, space.role, space.name) @ space.teachers.T).argmax(axis=1)
            found[space.name] = round(100 * float((nearest == np.arange(len(nearest))).mean()), 2)
        return found


def _halves(texts: Sequence[str], lang: str) -> Task | None:
    """Return the search for the second halves of texts by the first; None where there are few.

    The halves share few words, so that it stands for the search for passages (the inverse cloze task of Lee et al.,
    2019). A search for the whole by a part of it does not: it falls when the labelled one rises (docs/results.md).
    """
    longest = sorted(dict.fromkeys(texts), key=len, reverse=True)[:_HALVED]
    if len(longest) < _FEWEST:
        return None
    first, second = zip(*(_halve(text, lang) for text in longest), strict=True)
    data = Retrieval(
        queries=list(first), passages=list(second), relevant=[{number: 1.0} for number in range(len(longest))]
    )
    return Task(name=f"second halves of sentences ({lang})", split="heldout", data=data)


def _halve(text: str, lang: str) -> tuple[str, str]:
    between = "" if lang in WITHOUT_SPACES else " "
    words = list(text) if lang in WITHOUT_SPACES else text.split()
    middle = len(words) // 2
    return between.join(words[:middle]), between.join(words[middle:])


def _spaces(sentences: list[str], paragraphs: list[str], lang: str, teacher: Subject) -> Iterable[_Space]:
    kinds: tuple[tuple[str, list[str], Role], ...] = (
        ("sentences", sentences, "query"),
        ("paragraphs", paragraphs, "document"),
    )
    for kind, texts, role in kinds:
        if len(texts) >= _FEWEST:
            name = f"nearest to the teacher's vector, {kind} ({lang})"
            yield _Space(name, texts, role, teacher.encode(texts, role, name))
