"""Stage `evaluate`: teacher, clone and student on the same tasks, in fp32, with the same code.

Nothing measured here decides anything. What does was measured before: the student is chosen by held-out cosine in the
training, whose figures are taken over, and the text to train on by the translations that the teacher finds.
"""

from __future__ import annotations

import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import log
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.models.encoder import encode, unit
from hub_tools.models.loading import SAFE, LoadPolicy, describe, load_model
from hub_tools.tokenization.metrics import sample_texts
from hub_tools.vectors.embed import bitext_accuracy, heldout_pairs

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MODELS = ("teacher", "clone", "student")
Vectors = NDArray[np.float32]
Measure = Callable[["SentenceTransformer"], dict[str, float]]
_SAMPLE_LANGUAGE = "tr"
_SAMPLE_SEARCHES = ("q02", "q31", "q47")
_SPEED_TEXTS, _SPEED_ROUNDS, _SPEED_BATCH = 400, 5, 32
# Long articles are cut: a batch of them at a teacher's full length would not fit into the memory of many machines.
_SPEED_CHARACTERS = 1000
_SPLITS = ("train", "dev", "validation", "test")
_ENDINGS = re.compile(r"(\.(tsv|csv|jsonl|parquet|txt))?(\.gz)?$")


def evaluate(
    paths: dict[str, Path],
    corpus: Corpus,
    *,
    target: str,
    sts: list[Path],
    hardware: Hardware,
    training: dict[str, Any],
    own_vectors: bool = True,
    policy: LoadPolicy = SAFE,
) -> dict[str, Any]:
    """Measure the models.

    Args:
        paths: folders of teacher, clone and student.
        corpus: gives held-out text.
        target: the target language.
        sts: tables with columns sentence1, sentence2, score.
        hardware: where the models run; they are measured in fp32.
        training: held-out cosines over the training and at its end, as student/training.json has them.
        own_vectors: whether the vectors that the student learned are this teacher's.
        policy: what the teacher's files may do.

    Returns:
        `evaluation` (rows of the report), `models` and `searches`.

    Raises:
        UserError: an STS table has no such columns or no numbers.
    """
    hardware = hardware.exact
    names = _task_names(sts)
    tasks = [_sts_task(file, f"STS {name}", split, hardware) for file, (name, split) in zip(sts, names, strict=True)]
    if target == _SAMPLE_LANGUAGE:
        sample = _sts_task(sample_file("sts.tsv"), "STS sample (tr)", "test", hardware)
        tasks += [sample, _retrieval_task(hardware)]
    if corpus.has_pairs and corpus.stats["parallel"].get("heldout"):
        tasks.append(_bitext_task(corpus, target, hardware))
    models = {name: load_model(path, device=hardware.device, policy=policy) for name, path in paths.items()}
    # The student's are the teacher's, and those that the user gave.
    models["teacher"].prompts = dict(models["student"].prompts)
    before, after = training["history"][0]["cosine"], training["cosine_after"]
    heldout = {"teacher": 1.0 if own_vectors else None, "clone": before, "student": after}
    goal = "vector as the teacher's" if own_vectors else "vector as in --embeddings"
    rows = [_row(goal, "heldout", "cosine", training["heldout_texts"], heldout)]
    for task, measure in tasks:
        log.info("  %s, %s", task["task"], task["split"])
        values = {name: measure(model) for name, model in models.items()}
        rows += [
            _row(task["task"], task["split"], metric, task["n"], {name: values[name][metric] for name in MODELS})
            for metric in values["teacher"]
        ]
    texts = sample_texts(corpus).get(target)
    if texts:
        rows.append(_speed_row(models, texts))
    return {
        "evaluation": rows,
        "searches": _searches(models, target, hardware),
        "models": {name: describe(model) for name, model in models.items()},
    }


def _row(task: str, split: str, metric: str, n: int | None, values: Mapping[str, float | None]) -> dict[str, Any]:
    return {
        "task": task,
        "split": split,
        "metric": metric,
        "n": n,
        **{name: None if value is None else round(value, 4) for name, value in values.items()},
        "supervised": False,
    }


def _sts_task(file: Path, name: str, split: str, hardware: Hardware) -> tuple[dict[str, Any], Measure]:
    first, second, gold = read_sts(file)

    def measure(model: SentenceTransformer) -> dict[str, float]:
        from scipy.stats import pearsonr, spearmanr

        a, b = (unit(encode(model, side, hardware)) for side in (first, second))
        found = (a * b).sum(axis=1)
        return {"spearman": float(spearmanr(found, gold).statistic), "pearson": float(pearsonr(found, gold).statistic)}

    return {"task": name, "split": split, "n": len(gold)}, measure


def read_sts(file: Path) -> tuple[list[str], list[str], list[float]]:
    """Sentences and scores of an STS table.

    Raises:
        UserError: the columns sentence1, sentence2, score are not there, or a score is no number.
    """
    first, second, gold = [], [], []
    for number, row in enumerate(read_table(file), 2):
        missing = [c for c in ("sentence1", "sentence2", "score") if row.get(c) in (None, "")]
        if missing:
            raise UserError(
                f"--sts {file}, line {number}: no {', '.join(missing)}. Expected columns sentence1, sentence2, score."
            )
        try:
            gold.append(float(row["score"]))
        except ValueError as error:
            raise UserError(f"--sts {file}, line {number}: score {row['score']!r} is no number.") from error
        first.append(row["sentence1"])
        second.append(row["sentence2"])
    if len(gold) <= 1:  # a correlation needs two points
        raise UserError(f"--sts {file} holds {len(gold)} pairs. Expected at least two.")
    return first, second, gold


def _task_names(files: list[Path]) -> list[tuple[str, str]]:
    """Name and split of each file, from names such as stsb-tr-test.tsv.gz; no two are alike."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for name, split in map(_task_name, files):
        seen[name, split] += 1
        number = seen[name, split]
        found.append((f"{name} ({number})" if number > 1 else name, split))
    return found


def _task_name(file: Path) -> tuple[str, str]:
    stem = _ENDINGS.sub("", file.name)
    if stem in _SPLITS:  # stsb-tr/test.tsv
        return file.absolute().parent.name, stem
    parts = re.fullmatch(rf"(.+)[-_.]({'|'.join(_SPLITS)})", stem)
    return (parts[1], parts[2]) if parts else (stem, "as given")


def _retrieval_task(hardware: Hardware) -> tuple[dict[str, Any], Measure]:
    passages = list(read_table(sample_file("retrieval-passages.tsv")))
    questions = list(read_table(sample_file("retrieval-questions.tsv")))
    ids = [p["id"] for p in passages]
    wanted = np.array([ids.index(q["passage_id"]) for q in questions])

    def measure(model: SentenceTransformer) -> dict[str, float]:
        scores = _search(model, [q["text"] for q in questions], [p["text"] for p in passages], hardware)
        rank = (scores > scores[np.arange(len(wanted)), wanted][:, None]).sum(axis=1) + 1
        return {"recall@1": float((rank == 1).mean()), "mrr": float((1 / rank).mean())}

    return {"task": "retrieval sample (tr)", "split": "test", "n": len(questions)}, measure


def _bitext_task(corpus: Corpus, target: str, hardware: Hardware) -> tuple[dict[str, Any], Measure]:
    pairs = heldout_pairs(corpus)

    def measure(model: SentenceTransformer) -> dict[str, float]:
        return {"accuracy": bitext_accuracy(model, pairs, hardware)}

    return {"task": f"translation found ({target} to source)", "split": "heldout", "n": len(pairs)}, measure


def _search(model: SentenceTransformer, queries: list[str], documents: list[str], hardware: Hardware) -> Vectors:
    """Cosines, shape (queries, documents); each side behind the prompt that the model has for it."""
    asked = unit(encode(model, queries, hardware, "encode_query"))
    cosines: Vectors = asked @ unit(encode(model, documents, hardware, "encode_document")).T
    return cosines


def _speed_row(models: dict[str, SentenceTransformer], texts: list[str]) -> dict[str, Any]:
    """Sentences per second of each model, taken in turns so that a slow moment hits all; medians."""
    texts = [text[:_SPEED_CHARACTERS] for text in texts[:_SPEED_TEXTS]]
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(_SPEED_ROUNDS):
        for name, model in models.items():
            start = time.perf_counter()
            model.encode(texts, batch_size=_SPEED_BATCH, show_progress_bar=False)
            seconds[name].append(time.perf_counter() - start)
    values = {name: len(texts) / statistics.median(times) for name, times in seconds.items()}
    return _row("speed on target text", "as given", "sentences/s", len(texts), values)


def _searches(models: dict[str, SentenceTransformer], target: str, hardware: Hardware) -> list[dict[str, str]]:
    """Three questions with the passage that teacher and student find, for a person to judge."""
    if target != _SAMPLE_LANGUAGE:
        return []
    passages = [p["text"] for p in read_table(sample_file("retrieval-passages.tsv"))]
    questions = [q["text"] for q in read_table(sample_file("retrieval-questions.tsv")) if q["id"] in _SAMPLE_SEARCHES]
    best = {
        name: _search(models[name], questions, passages, hardware).argmax(axis=1) for name in ("teacher", "student")
    }
    return [{"query": q, **{name: passages[found[i]] for name, found in best.items()}} for i, q in enumerate(questions)]
