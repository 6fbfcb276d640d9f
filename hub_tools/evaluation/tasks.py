"""Tasks: a data set, what its texts are to a model, and how the model's vectors are judged."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from hub_tools.core.files import digest
from hub_tools.core.plain import to_plain
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.contamination import EvaluationTexts
from hub_tools.corpus.readers import sample_file
from hub_tools.evaluation import data as sets
from hub_tools.evaluation import metrics
from hub_tools.evaluation.metrics import Measure, Vectors
from hub_tools.evaluation.subject import Role, Subject
from hub_tools.vectors.bitext import heldout_pairs

_SPLITS = ("train", "dev", "validation", "test")
_ENDINGS = re.compile(r"(\.(tsv|csv|jsonl|parquet|txt))?(\.gz)?$")
# The language of the bundled tasks.
SAMPLE_LANGUAGE = "tr"
SAMPLE_RETRIEVAL = "retrieval sample (tr)"


class _Sort(NamedTuple):
    """A sort of tasks: its sides, what their texts are to a model, and the judge of their vectors."""

    sides: dict[str, Role]
    judge: Callable[..., list[Measure]]
    undefined: str  # why a measure may not be defined
    skill: str = ""  # what a model is trained for with labels of such tasks


# All texts but the passages of retrieval are read as queries.
_SORTS: dict[type, _Sort] = {
    sets.Similarity: _Sort(
        {"first": "query", "second": "query"},
        metrics.similarity,
        "all scores, or all cosines of a model, are equal, so no correlation is defined",
        "sts",
    ),
    sets.Retrieval: _Sort({"queries": "query", "passages": "document"}, metrics.retrieval, "", "retrieval"),
    sets.Bitext: _Sort({"source": "query", "target": "query"}, metrics.bitext, ""),
    sets.Pairs: _Sort({"first": "query", "second": "query"}, metrics.pairs, "no pair says the same", "nli"),
    sets.Classification: _Sort({"train": "query", "test": "query"}, metrics.classification, ""),
    sets.Clustering: _Sort({"texts": "query"}, metrics.clustering, ""),
}
# Option -> what stands before the name of the file, and the reader.
READERS: dict[str, tuple[str, Callable[[str, str], sets.Data]]] = {
    "sts": ("STS", sets.read_similarity),
    "retrieval": ("retrieval", sets.read_retrieval),
    "bitext": ("bitext", sets.read_bitext),
    "classification": ("classification", sets.read_classification),
    "clustering": ("clustering", sets.read_clustering),
    "pairs": ("pairs", sets.read_pairs),
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """A data set to measure on."""

    name: str  # as the report shows it
    split: str  # train, dev, test, heldout or `as given`
    data: sets.Data

    @property
    def identity(self) -> str:
        """A hash of all that is measured on."""
        return digest([self.name, self.split, to_plain(self.data)])

    @property
    def undefined(self) -> str:
        """Why a measure may not be defined."""
        return _SORTS[type(self.data)].undefined

    @property
    def skill(self) -> str:
        """What a model is trained for with labels of such tasks (`hub_tools.config_finetune`), or ""."""
        return _SORTS[type(self.data)].skill

    def texts(self) -> Iterator[str]:
        """Yield the texts that models are measured on, which nothing may be trained on.

        Those that a classifier learns from are not among them: a student sees no labels.
        """
        for side in _SORTS[type(self.data)].sides:
            if side != "train":
                yield from getattr(self.data, side)

    def prompts(self, subject: Subject) -> dict[str, str]:
        """Return what a model puts before the texts of each side."""
        return {side: subject.prompt(role) for side, role in _SORTS[type(self.data)].sides.items()}

    @property
    def sides(self) -> list[list[str]]:
        """The texts of each side."""
        return [getattr(self.data, side) for side in _SORTS[type(self.data)].sides]

    def vectors(self, subject: Subject) -> list[Vectors]:
        """Return a model's vectors of the texts of each side."""
        sides = _SORTS[type(self.data)].sides.items()
        return [subject.encode(getattr(self.data, side), role, f"{self.name}, {side}") for side, role in sides]

    @property
    def size(self) -> int:
        """How many texts a model reads."""
        return sum(map(len, self.sides))

    def judge(self, *vectors: Vectors) -> list[Measure]:
        """Return the measures of vectors, those of a side each, the most important measure first."""
        return _SORTS[type(self.data)].judge(self.data, *vectors)

    def measure(self, subject: Subject) -> list[Measure]:
        """Return a model's measures, the most important one first."""
        return self.judge(*self.vectors(subject))


def read_tasks(kind: str, specs: Iterable[str], languages: tuple[str, ...]) -> list[Task]:
    """Return the tasks in the files of an option, without its dashes, e.g. `sts`; one a language where files hold more.

    Raises:
        UserError: a file is missing, damaged, or has other columns than expected.
    """
    word, read = READERS[kind]
    specs = list(specs)
    tasks: list[Task] = []
    for spec, (name, given) in zip(specs, names_of(specs), strict=True):
        found: dict[str, sets.Data] = {lang: read(spec, lang) for lang in languages}
        split = "test" if given == "as given" and sets.has_parts(spec) else given
        # What is the same in all languages has none of its own.
        different = [lang for i, lang in enumerate(languages) if found[lang] not in list(found.values())[:i]]
        for lang in different:
            which = f" ({lang})" if len(different) > 1 else ""
            tasks.append(Task(name=f"{word} {name}{which}", split=split, data=found[lang]))
    return tasks


def bundled_tasks(targets: tuple[str, ...]) -> list[Task]:
    """Return the bundled tasks of languages: for Turkish sentence pairs, and 60 questions with their passages."""
    if SAMPLE_LANGUAGE not in targets:
        return []
    files = [str(sample_file(f"retrieval-{side}.tsv")) for side in ("questions", "passages")]
    return [
        Task(name="STS sample (tr)", split="test", data=sets.read_similarity(str(sample_file("sts.tsv")), "tr")),
        Task(name=SAMPLE_RETRIEVAL, split="test", data=sets.read_retrieval(",".join(files), "tr")),
    ]


class HasTexts(Protocol):
    """A task, of whatever kind."""

    @property
    def name(self) -> str:
        """Its name in the report."""

    @property
    def split(self) -> str:
        """The part of the data that is measured on."""

    def texts(self) -> Iterator[str]:
        """Yield the texts that models are measured on."""


def evaluation_texts(tasks: Iterable[HasTexts], targets: tuple[str, ...]) -> EvaluationTexts:
    """Return the texts that a run measures on, by task, to keep them out of the training."""
    return EvaluationTexts((f"{task.name}, {task.split}", task.texts()) for task in (*tasks, *bundled_tasks(targets)))


def heldout_task(corpus: Corpus, target: str) -> Task | None:
    """Return the search for the translations of held-out sentences, among all of them; None where there are none."""
    pairs = heldout_pairs(corpus)
    if not pairs:
        return None
    parallel = corpus.result.parallel
    source = parallel.languages[0] if parallel is not None and parallel.languages else "source"
    data = sets.Bitext(source=list(pairs), target=list(pairs.values()), languages=(source, target))
    return Task(name="translations found", split="heldout", data=data)


def names_of(specs: list[str]) -> list[tuple[str, str]]:
    """Return name and split of each data set, from names of files such as stsb-tr-test.tsv.gz; no two are alike."""
    seen: Counter[tuple[str, str]] = Counter()
    names = []
    for spec in specs:
        file = Path(spec.partition(",")[0])
        stem = _ENDINGS.sub("", file.name)
        parts = re.fullmatch(rf"(.+)[-_.]({'|'.join(_SPLITS)})", stem)
        name, split = (parts[1], parts[2]) if parts else (stem, "as given")
        if stem in _SPLITS:  # stsb-tr/test.tsv
            name, split = file.absolute().parent.name, stem
        seen[name, split] += 1
        number = seen[name, split]
        names.append((f"{name} ({number})" if number > 1 else name, split))
    return names
