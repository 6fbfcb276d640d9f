"""What might be a better goal than a teacher's own vectors, without labels; for docs/results.md.

    python -m benchmarks.maps --e5 E5 --data DATA [--work DIR]

E5 is a folder with multilingual-e5-small. Nothing is trained: vectors of all-MiniLM-L6-v2 and of E5, with the text's
own tokens alone and rare ones more, flattened, half-way to those of the English translation, or of both models side by
side, are measured on dev data in five languages. No test split is read, nor any set that a student is tested on;
vectors are kept in WORK.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.document import table, write_section
from benchmarks.goals import CPU, LONGEST, Data, between
from hub_tools.core.files import digest
from hub_tools.evaluation import metrics
from hub_tools.evaluation.data import Bitext, Classification, Clustering, Retrieval, Similarity
from hub_tools.evaluation.metrics import Vectors
from hub_tools.evaluation.subject import Role, Subject
from hub_tools.models.encoder import Encoder, unit
from hub_tools.models.loading import load_model
from hub_tools.models.resolve import bundled_teacher
from hub_tools.models.text_pooling import TextPooling

LANGUAGES = ("tr", "fr", "ru", "zh")
# XQuAD in languages that no student is tested in.
PASSAGES = ("en", "el", "vi")
# Texts of a language that a map is found from, and in which tokens are counted; directions that a map brings down.
FITTED, COUNTED, FLATTENED = 2000, 5000, (20, 40)
TASKS = {
    "sts": "STSb dev",
    "english": "STSb dev, English",
    "bitext": "UD-PUD",
    "retrieval": "retrieval nDCG@10",
    "classification": "SIB-200, accuracy",
    "clustering": "SIB-200, V-measure",
}


class Texts(NamedTuple):
    """Texts in a language, what they are, and the same texts in English; none where there are no translations."""

    lang: str
    role: Role
    own: list[str]
    english: list[str]


# Makes the vectors of texts that are measured.
Goal = Callable[[Texts], Vectors]


class Space:
    """A model's vectors, each computed once."""

    def __init__(self, folder: Path, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.folder, self.work = folder, work
        self.subject = Subject(lambda: load_model(folder, device="cpu"), CPU, longest=LONGEST)

    def __call__(self, texts: list[str], role: Role) -> Vectors:
        """Return the vectors of texts."""
        return self._kept([role, texts], lambda: self.subject.encode(texts, role, self.folder.name))

    def pooled(self, texts: Texts, counted: Iterable[str]) -> Vectors:
        """Return those of the text's own tokens, the more of each, the fewer of the counted texts it is in."""

        def compute() -> Vectors:
            model, prompt = self.subject.model, self.subject.prompt(texts.role)
            pooling = TextPooling.of(model, counted)
            return unit(Encoder(model, CPU, pooling)(texts.own, prompt).vectors)

        return self._kept([texts.role, texts.own, texts.lang, "own tokens"], compute)

    def _kept(self, what: list[Any], compute: Callable[[], Vectors]) -> Vectors:
        file = self.work / f"{digest([self.folder.name, *what])}.npy"
        if not file.exists():
            np.save(file, compute())
        vectors: Vectors = np.load(file)
        return vectors


def flattening(vectors: Vectors, count: int) -> Callable[[Vectors], Vectors]:
    """Return a map that brings a space's leading directions down to the one that is number `count`; the mean stays."""
    center = vectors.mean(axis=0)
    values, directions = np.linalg.eigh(np.cov(vectors - center, rowvar=False))
    scale = np.minimum(1, (values[-count] / np.maximum(values, 1e-12)) ** 0.5)
    matrix = (directions * scale) @ directions.T
    return lambda own: unit((center + (own - center) @ matrix).astype(np.float32))


def goals(space: Space, other: Space, data: Data) -> dict[str, Goal]:
    """Return what is compared of a teacher; `other` is the one beside it."""

    def own(texts: Texts) -> Vectors:
        return space(texts.own, texts.role)

    @cache
    def flat(lang: str, count: int) -> Callable[[Vectors], Vectors]:
        languages = dict.fromkeys((lang, "en"))
        return flattening(np.concatenate([space(data.lines(own, FITTED), "query") for own in languages]), count)

    def flattened(count: int) -> Goal:
        return lambda texts: flat(texts.lang, count)(own(texts))

    def pooled(texts: Texts) -> Vectors:
        languages = dict.fromkeys((texts.lang, "en"))
        return space.pooled(texts, chain.from_iterable(data.lines(lang, COUNTED) for lang in languages))

    def half_way(texts: Texts) -> Vectors:
        return between(own(texts), space(texts.english, texts.role)) if texts.english else own(texts)

    def both(texts: Texts) -> Vectors:
        second = other(texts.english or texts.own, texts.role)
        return unit(np.concatenate([own(texts), second], axis=1))

    found: dict[str, Goal] = {"as they are": own, "the text's own tokens, rare ones more": pooled}
    found |= {f"flattened, {count} directions": flattened(count) for count in FLATTENED}
    return found | {"half-way to the translation's": half_way, "both models, the other reads English": both}


def scores(goal: Goal, data: Data) -> Iterator[tuple[str, str, float]]:
    """Yield task, language and figure, x100."""
    for lang in (*LANGUAGES, "en"):
        first, second, found = similarity(data, lang)
        (value, *_) = metrics.similarity(found, goal(first), goal(second))
        yield ("english" if lang == "en" else "sts"), lang, 100 * value.value
    for lang in LANGUAGES:
        source, target, pairs = translations(data, lang)
        named = {measure.metric: measure.value for measure in metrics.bitext(pairs, goal(source), goal(target))}
        yield "bitext", lang, 50 * (named[f"accuracy {lang}-en"] + named[f"accuracy en-{lang}"])
    for lang, (queries, passages, relevant) in searches(data).items():
        (value, *_) = metrics.retrieval(relevant, goal(queries), goal(passages))
        yield "retrieval", lang, 100 * value.value
    for lang in LANGUAGES:
        texts, labels = topics(data, lang)
        vectors, half = goal(texts), len(labels) // 2
        parts = Classification(
            train=texts.own[:half],
            train_labels=labels[:half],
            test=texts.own[half:],
            test_labels=labels[half:],
        )
        yield "classification", lang, 100 * metrics.classification(parts, vectors[:half], vectors[half:])[0].value
        groups = Clustering(texts=texts.own, labels=labels)
        yield "clustering", lang, 100 * metrics.clustering(groups, vectors)[0].value


def similarity(data: Data, lang: str) -> tuple[Texts, Texts, Similarity]:
    """Return both sides of the pairs of STSb dev."""
    rows, english = (list(data.rows(f"sts/stsb-{code}-dev")) for code in (lang, "en"))
    a, b = (
        Texts(lang, "query", [row[side] for row in rows], [row[side] for row in english])
        for side in ("sentence1", "sentence2")
    )
    return a, b, Similarity(first=a.own, second=b.own, scores=[float(row["score"]) for row in rows])


def translations(data: Data, lang: str) -> tuple[Texts, Texts, Bitext]:
    """Return sentences of UD-PUD and their English; a goal that reads translations would know the answer."""
    rows = list(data.rows("bitext/ud-pud"))
    a, b = (Texts(code, "query", [row[code] for row in rows], []) for code in (lang, "en"))
    return a, b, Bitext(source=a.own, target=b.own, languages=(lang, "en"))


def searches(data: Data) -> dict[str, tuple[Texts, Texts, Retrieval]]:
    """Return Turkish headings with the passages under them, and XQuAD in other languages."""
    headings, passages = data.headings
    found = {"tr": (Texts("tr", "query", headings, []), Texts("tr", "document", passages, []), _in_order(headings))}
    questions, contexts = (list(data.rows(f"retrieval/xquad-{name}")) for name in ("questions", "contexts"))
    place = {row["context_id"]: number for number, row in enumerate(contexts)}
    relevant: list[dict[int, float]] = [{place[row["context_id"]]: 1.0} for row in questions]
    for lang in PASSAGES:
        a = Texts(lang, "query", [row[lang] for row in questions], [row["en"] for row in questions])
        b = Texts(lang, "document", [row[lang] for row in contexts], [row["en"] for row in contexts])
        found[lang] = (a, b, Retrieval(queries=a.own, passages=b.own, relevant=relevant))
    return found


def _in_order(queries: list[str]) -> Retrieval:
    return Retrieval(queries=queries, passages=[], relevant=[{number: 1.0} for number in range(len(queries))])


def topics(data: Data, lang: str) -> tuple[Texts, list[str]]:
    """Return texts of SIB-200 that are not of its test split, and what each is about."""
    rows = [row for row in data.rows("classification/sib200") if row["split"] != "test"]
    english = {row["index_id"]: row["text"] for row in rows if row["lang"] == "en"}
    own = [row for row in rows if row["lang"] == lang]
    texts = Texts(lang, "query", [row["text"] for row in own], [english[row["index_id"]] for row in own])
    return texts, [row["label"] for row in own]


def main() -> None:
    """Measure both teachers, and write the section."""
    parser = argparse.ArgumentParser()
    for option in ("--e5", "--data"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("maps-benchmark"))
    args = parser.parse_args()
    data, e5, minilm = Data(args.data), Space(args.e5, args.work), Space(bundled_teacher(), args.work)
    lines = ["Written by `python -m benchmarks.maps --e5 E5 --data DATA`.", ""]
    for title, space, other in (("multilingual-e5-small", e5, minilm), ("all-MiniLM-L6-v2", minilm, e5)):
        means, details = [[title, *TASKS.values()]], list[list[str]]()
        for name, goal in goals(space, other, data).items():
            found = list(scores(goal, data))
            by_task = {task: {lang: value for own, lang, value in found if own == task} for task in TASKS}
            means.append([name, *(f"{np.mean(list(values.values())):.1f}" for values in by_task.values())])
            details.append([name, *(f"{value:.1f}" for values in by_task.values() for value in values.values())])
            print(title, means[-1], flush=True)
        ordered = [f"{task} {lang}" for task, values in by_task.items() for lang in values]
        lines += [*table(means), "", *table([["by language", *ordered], *details]), ""]
    write_section("results.md", "maps", lines)


if __name__ == "__main__":
    main()
