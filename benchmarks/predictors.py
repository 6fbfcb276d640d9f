"""Which measure without labels tells how good a student is, over students of three languages; for docs/results.md.

    python -m benchmarks.predictors --teacher DIR --data DIR [--work DIR] [--lang tr ...]

DIR of `--teacher` is multilingual-e5-small. Students of a language are its clones with few, some and many learned
tokens, and what becomes of them in trainings that are gentle and rough. Quality is measured on dev data: a third of
STSb dev, and for retrieval pairs of headings and passages (tr) or every second article of XQuAD (others). No test split
is read.
Each student is kept in WORK as it is measured, so a study that was cut off goes on.
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata, spearmanr

from benchmarks.document import table as markdown
from benchmarks.document import write_section
from benchmarks.tables import rows_of
from hub_tools.config import DistillConfig, RunConfig
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus
from hub_tools.evaluation import metrics
from hub_tools.evaluation.data import Retrieval, Similarity, read_similarity
from hub_tools.evaluation.subject import Role, Subject
from hub_tools.models.loading import load_model, longest_input
from hub_tools.pipeline import run
from hub_tools.training.data import load_training_set
from hub_tools.training.trainer import Trainer
from hub_tools.vectors.agreement import agreement
from hub_tools.vectors.dataset import EmbeddingDataset

LANGUAGES = {"tr": "Turkish", "ru": "Russian", "zh": "Chinese"}
CPU = Hardware(device="cpu", precision="fp32")
VOCAB, LEARNED = 32768, (0, 2000, 8000)
STEPS, BATCH_TOKENS = 120, 1024
# Steps after which a student in training is measured.
MEASURED = {"tr": (40, 80, 120), "ru": (120,), "zh": (120,)}


class Training(NamedTuple):
    """A short training: from the clone with so many learned tokens, at so high a rate."""

    learned: int
    rate: float


TRAININGS = {"gentle": Training(8000, 3e-4), "rough": Training(8000, 2e-3)}
QUALITIES = {"sts": "STS", "sts_en": "English STS", "retrieval": "retrieval"}
MEASURES = {
    "cosine": "cosine to the teacher's vector, sentences",
    "ranks": "similarities ranked, sentences",
    "neighbours": "ten nearest found, sentences",
    "paragraph_cosine": "cosine, paragraphs",
    "paragraph_ranks": "similarities ranked, paragraphs",
    "paragraph_neighbours": "ten nearest found, paragraphs",
    "cross_ranks": "similarities ranked, across languages",
    "translations": "translations found",
    "spread": "spread of similarities (nearness to 1)",
}


class Dev(NamedTuple):
    """The dev data of a language, and text without labels."""

    sts: Similarity
    english: Similarity
    retrieval: Retrieval
    sentences: list[str]
    parallel: tuple[list[str], list[str]]  # English, and the same in the language


def read_dev(data: Path, lang: str, corpus: Corpus) -> Dev:
    """Read what students of a language are measured on."""
    both = list(islice(((row["en"], row[lang]) for row in rows_of(data / "bitext/ntrex128.tsv.gz")), 300))
    return Dev(
        _third(read_similarity(str(data / f"sts/stsb-{lang}-dev.tsv.gz"), lang)),
        _third(read_similarity(str(data / "sts/stsb-en-dev.tsv.gz"), "en")),
        _headings(data) if lang == "tr" else _xquad(data, lang),
        list(corpus.texts(lang, "heldout", 600)),
        ([en for en, _ in both], [own for _, own in both]),
    )


def _third(pairs: Similarity) -> Similarity:
    return Similarity(first=pairs.first[::3], second=pairs.second[::3], scores=pairs.scores[::3])


def _headings(data: Path) -> Retrieval:
    rows = {row["positive"]: row["query"] for row in rows_of(data / "pairs/query-passage-tr.tsv.gz")}
    chosen = list(rows.items())[:: len(rows) // 300]
    relevant = [{number: 1.0} for number in range(len(chosen))]
    return Retrieval(queries=[q for _, q in chosen], passages=[p for p, _ in chosen], relevant=relevant)


def _xquad(data: Path, lang: str) -> Retrieval:
    def is_dev(context: str) -> bool:
        return int(context.partition("-")[0]) % 2 == 0

    contexts = {row["context_id"]: row[lang] for row in rows_of(data / "retrieval/xquad-contexts.tsv.gz")}
    number = {name: place for place, name in enumerate(filter(is_dev, contexts))}
    questions = [row for row in rows_of(data / "retrieval/xquad-questions.tsv.gz") if row["context_id"] in number]
    return Retrieval(
        queries=[row[lang] for row in questions],
        passages=[contexts[name] for name in number],
        relevant=[{number[row["context_id"]]: 1.0} for row in questions],
    )


class Space(NamedTuple):
    """A model's vectors of all that it is measured on."""

    sts: list[Any]
    english: list[Any]
    queries: Any
    passages: Any
    sentences: Any
    parallel: list[Any]


def encode(model: Any, dev: Dev) -> Space:
    """Encode the dev data."""
    subject = Subject(lambda: model, CPU, longest=512)

    def vectors(texts: list[str], role: Role = "query") -> Any:
        return subject.encode(texts, role, "dev")

    return Space(
        [vectors(side) for side in (dev.sts.first, dev.sts.second)],
        [vectors(side) for side in (dev.english.first, dev.english.second)],
        vectors(dev.retrieval.queries),
        vectors(dev.retrieval.passages, "document"),
        vectors(dev.sentences),
        [vectors(side) for side in dev.parallel],
    )


def measure(space: Space, teacher: Space, dev: Dev) -> dict[str, float]:
    """Measure a student: its quality, and what is known without labels."""
    sentences, paragraphs = agreement(teacher.sentences, space.sentences), agreement(teacher.passages, space.passages)
    cross = [rankdata((x.parallel[0] @ x.parallel[1].T).ravel()) for x in (teacher, space)]
    found = (space.parallel[1] @ space.parallel[0].T).argmax(axis=1) == np.arange(len(dev.parallel[0]))
    return {
        "sts": metrics.similarity(dev.sts, *space.sts)[0].value,
        "sts_en": metrics.similarity(dev.english, *space.english)[0].value,
        "retrieval": metrics.retrieval(dev.retrieval, space.queries, space.passages)[0].value,
        "cosine": sentences.cosine,
        "ranks": sentences.ranks,
        "neighbours": sentences.neighbours,
        "paragraph_cosine": paragraphs.cosine,
        "paragraph_ranks": paragraphs.ranks,
        "paragraph_neighbours": paragraphs.neighbours,
        "cross_ranks": float(np.corrcoef(cross[0], cross[1])[0, 1]),
        "translations": float(found.mean()),
        "spread": -abs(1 - sentences.spread),
    }


def make_clone(teacher: Path, data: Path, work: Path, lang: str, learned: int) -> Path:
    """Make a clone of a language; return the run folder."""
    text = work / lang / "text"
    text.mkdir(parents=True, exist_ok=True)
    for own in (lang, "en"):
        with (
            gzip.open(data / f"text/{own}.txt.gz", "rt", encoding="utf-8") as lines,
            (text / f"{own}.txt").open("w") as out,
        ):
            out.writelines(islice(lines, 10_000))
    config = RunConfig.from_dict(
        {
            "teacher": str(teacher),
            "lang": lang,
            "output": str(work / lang / f"learn-{learned}"),
            "device": "cpu",
            "precision": "fp32",
            "corpus": {"sources": [str(text / "{lang}.txt")]},
            "tokenizer": {"vocab_size": VOCAB, "learn": learned},
            "embed": {"distill_limit": 2000},
        }
    )
    run(config, last="clone")
    if learned == max(LEARNED):  # all learn from the same vectors
        run(config, last="embed")
    return config.output


def students(teacher: Path, data: Path, work: Path, lang: str) -> Iterator[tuple[str, Any]]:
    """Give name and model of each student of a language that was not measured yet."""
    for learned in LEARNED:
        if not (work / lang / f"clone-{learned}.json").exists():
            yield (
                f"clone-{learned}",
                load_model(make_clone(teacher, data, work, lang, learned) / "clone", device="cpu"),
            )
    for name, training in TRAININGS.items():
        if not (work / lang / f"{name}-{STEPS}.json").exists():
            yield from trained(name, training, work / lang, MEASURED[lang])


def trained(name: str, training: Training, folder: Path, steps: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Train a clone a little, and give it as it is after some steps."""
    clone = folder / f"learn-{training.learned}" / "clone"
    embeddings = EmbeddingDataset(folder / f"learn-{max(LEARNED)}" / "embeddings")
    model = load_model(clone, device="cpu")
    train, heldout = (
        load_training_set(embeddings, split, clone / "tokenizer.json", longest_input(model))
        for split in ("train", "validation")
    )
    config = DistillConfig(steps=STEPS, batch_tokens=BATCH_TOKENS, learning_rate=training.rate)
    trainer = Trainer(model, train, heldout, folder / "unused", config, hardware=CPU, seed=1)
    for batch in trainer.batches():
        trainer.take_step(batch)
        if trainer.step in steps:
            yield f"{name}-{trainer.step}", trainer.student.model.eval()


def study(teacher: Path, data: Path, work: Path, lang: str) -> None:
    """Measure all students of a language."""
    corpus = Corpus(make_clone(teacher, data, work, lang, max(LEARNED)) / "corpus")
    dev = read_dev(data, lang, corpus)
    original = encode(load_model(teacher, device="cpu"), dev)
    write_json(work / lang / "teacher.json", measure(original, original, dev))
    for name, model in students(teacher, data, work, lang):
        found = measure(encode(model, dev), original, dev)
        write_json(work / lang / f"{name}.json", found)
        print(lang, name, {key: round(value, 4) for key, value in found.items()}, flush=True)


def results(work: Path, lang: str) -> dict[str, dict[str, float]]:
    """Return what was measured of each student of a language."""
    names = [f"clone-{learned}" for learned in LEARNED]
    names += [f"{name}-{step}" for name in TRAININGS for step in MEASURED[lang]]
    files = {name: work / lang / f"{name}.json" for name in names}
    return {name: read_json(file) for name, file in files.items() if file.exists()}


def section(work: Path) -> list[str]:
    """Markdown of all that was measured."""
    found = {lang: rows for lang in LANGUAGES if (rows := results(work, lang))}
    correlations, losses = [], []
    for key, label in MEASURES.items():
        correlations.append([label, *(f"{_mean(found, key, q, _correlation):.2f}" for q in QUALITIES)])
        losses.append([label, *(f"{100 * _mean(found, key, q, _loss):.2f}" for q in QUALITIES)])
    head = ["measure", *QUALITIES.values()]
    count = sum(map(len, found.values()))
    lines = [
        f"Written by `python -m benchmarks.predictors --teacher E5 --data DATA` on {time.strftime('%Y-%m-%d')}:",
        f"{count} students of multilingual-e5-small with {VOCAB:,} tokens in {len(found)} languages "
        f"({', '.join(LANGUAGES[lang] for lang in found)}).",
        "",
        "Spearman's correlation of each measure with quality over the students of a language, mean over the languages:",
        "",
        *markdown([head, *correlations]),
        "",
        "What is lost by taking the student that a measure likes best, in points of the quality (x100), mean:",
        "",
        *markdown([head, *losses]),
        "",
    ]
    for lang, rows in found.items():
        keys = [*QUALITIES, "cosine", "ranks", "neighbours", "paragraph_ranks", "translations", "spread"]
        every = {"teacher": read_json(work / lang / "teacher.json"), **rows}
        cells = [[name, *(f"{100 * row[key]:.1f}" for key in keys)] for name, row in every.items()]
        lines += [f"#### Students, {LANGUAGES[lang]}", "", *markdown([["student", *keys], *cells]), ""]
    return lines


def _mean(found: dict[str, dict[str, dict[str, float]]], key: str, quality: str, score: Any) -> float:
    """Return the mean over the languages of a score of a measure's and a quality's values of the students."""
    pairs = [([r[key] for r in rows.values()], [r[quality] for r in rows.values()]) for rows in found.values()]
    return float(np.mean([score(*pair) for pair in pairs]))


def _correlation(measured: list[float], quality: list[float]) -> float:
    return float(spearmanr(measured, quality).statistic)


def _loss(measured: list[float], quality: list[float]) -> float:
    return max(quality) - quality[int(np.argmax(measured))]


def main() -> None:
    """Measure what is not there yet, then write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("predictors-benchmark"))
    parser.add_argument("--lang", nargs="*", choices=LANGUAGES, default=list(LANGUAGES))
    args = parser.parse_args()
    for lang in args.lang:
        study(args.teacher, args.data, args.work, lang)
    write_section("results.md", "predictors", section(args.work))


if __name__ == "__main__":
    main()
