"""What the models are measured on, by the evaluators of sentence-transformers."""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_tools.core.errors import UserError
from hub_tools.core.logging import log
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.readers import column_names, list_names, read_columns, read_table, sample_file, text_of
from hub_tools.models.encoder import in_smaller_batches
from hub_tools.vectors.bitext import heldout_pairs

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_SPLITS = ("train", "dev", "validation", "test")
_ENDINGS = re.compile(r"(\.(tsv|csv|jsonl|parquet|txt))?(\.gz)?$")
_COLUMNS = ("sentence1", "sentence2", "score")
# What is held in memory and embedded by three models: far more than any table to measure on has.
_MOST_PAIRS, _MOST_CHARACTERS = 200_000, 50_000_000
_BATCH = 128
_QUIET: dict[str, Any] = {"show_progress_bar": False, "write_csv": False}


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something that models are measured on."""

    name: str  # as the report shows it
    split: str  # train, dev, test, heldout or `as given`
    n: int  # pairs or questions
    measure: Callable[[SentenceTransformer], dict[str, float | None]]  # metrics by name; None where one is not defined
    undefined: str | None = None  # why one may not be


def sts_tasks(files: list[Path]) -> list[Task]:
    """Return the tasks of STS tables, named by their files; errors as of `read_sts`."""
    return [sts_task(file, f"STS {name}", split) for file, (name, split) in zip(files, sts_names(files), strict=True)]


def sts_task(file: Path, name: str, split: str) -> Task:
    """Return the correlations of cosines with the scores of a table, Spearman's and Pearson's; errors as `read_sts`."""
    first, second, scores = read_sts(file)
    undefined = "all cosines of a model are equal, so no correlation is defined"
    if len(set(scores)) == 1:
        undefined = "all scores are equal, so no correlation is defined"
        log.warning("%s: %s", file, undefined)

    def measure(model: SentenceTransformer) -> dict[str, float | None]:
        from scipy.stats import ConstantInputWarning
        from sentence_transformers.evaluation import EmbeddingSimilarityEvaluator

        evaluator = EmbeddingSimilarityEvaluator(first, second, scores, main_similarity="cosine", **_QUIET)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConstantInputWarning)  # None says it
            values = _run(evaluator, model)
        correlations = {name: values[f"{name}_cosine"] for name in ("spearman", "pearson")}
        return {name: value if math.isfinite(value) else None for name, value in correlations.items()}

    return Task(name=name, split=split, n=len(scores), measure=measure, undefined=undefined)


def retrieval_task() -> Task:
    """Return the bundled task of retrieval: 60 Turkish questions, each with the one passage that answers it."""
    questions, passages = sample_texts("questions"), sample_texts("passages")
    answers = {row["id"]: {row["passage_id"]} for row in read_table(sample_file("retrieval-questions.tsv"))}

    def measure(model: SentenceTransformer) -> dict[str, float | None]:
        from sentence_transformers.evaluation import InformationRetrievalEvaluator
        from sentence_transformers.util import cos_sim

        cutoffs = {f"{metric}_at_k": [1] for metric in ("accuracy", "precision_recall", "ndcg", "map")}
        options: dict[str, Any] = {**cutoffs, "mrr_at_k": [len(passages)], "score_functions": {"cosine": cos_sim}}
        values = _run(InformationRetrievalEvaluator(questions, passages, answers, **options, **_QUIET), model)
        return {"recall@1": values["cosine_recall@1"], "mrr": values[f"cosine_mrr@{len(passages)}"]}

    return Task(name="retrieval sample (tr)", split="test", n=len(questions), measure=measure)


def bitext_task(corpus: Corpus, target: str) -> Task:
    """Return the share of held-out sentences in the target language whose nearest source sentence is their own."""
    pairs = heldout_pairs(corpus)

    def measure(model: SentenceTransformer) -> dict[str, float | None]:
        from sentence_transformers.evaluation import TranslationEvaluator

        values = _run(TranslationEvaluator(list(pairs), list(pairs.values()), **_QUIET), model)
        return {"accuracy": values["trg2src_accuracy"]}

    return Task(name=f"translation found ({target} to source)", split="heldout", n=len(pairs), measure=measure)


def sample_texts(kind: str) -> dict[str, str]:
    """Return the `questions` or `passages` of the bundled task of retrieval by their ids."""
    return {row["id"]: row["text"] for row in read_table(sample_file(f"retrieval-{kind}.tsv"))}


def read_sts(file: Path) -> tuple[list[str], list[str], list[float]]:
    """Return the sentences and scores of an STS table.

    Raises:
        UserError: one of its columns sentence1, sentence2, score is missing, a score is no finite number, or there are
            fewer than two pairs.
    """
    first: list[str] = []
    second: list[str] = []
    scores: list[float] = []
    characters = 0
    names = column_names(file)
    if names and (missing := [column for column in _COLUMNS if column not in names]):
        raise UserError(
            f"--sts {file} has the columns {list_names(names)}; no {', '.join(missing)}. Expected columns "
            f"{', '.join(_COLUMNS)}."
        )
    for where, cells in read_columns(file, _COLUMNS if names else ()):
        if empty := [column for column, cell in zip(_COLUMNS, cells, strict=True) if cell in (None, "")]:
            raise UserError(f"--sts {where}: no {', '.join(empty)}. Expected columns {', '.join(_COLUMNS)}.")
        *sentences, score = cells
        texts = [text_of(cell, f"--sts {where}: {name!r}") for name, cell in zip(_COLUMNS, sentences, strict=False)]
        scores.append(_score(score, f"--sts {where}"))
        for side, text in zip((first, second), texts, strict=True):
            # JSON can hold halves of characters; no tokenizer takes them.
            side.append(text if text.isascii() else text.encode("utf-8", "replace").decode())
            characters += len(text)
        if len(scores) > _MOST_PAIRS or characters > _MOST_CHARACTERS:
            raise UserError(
                f"--sts {file} holds more than {_MOST_PAIRS:,} pairs or {_MOST_CHARACTERS:,} characters. Expected a "
                "table to measure on; take a part of it."
            )
    if len(scores) <= 1:  # a correlation needs two points
        raise UserError(f"--sts {file} holds {len(scores)} pairs. Expected at least two.")
    return first, second, scores


def _score(cell: Any, where: str) -> float:
    try:
        score = float(cell)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not math.isfinite(score) or isinstance(cell, bool):
        raise UserError(f"{where}: score {ascii(cell)[:80]} is no number. Expected one such as 3.5.")
    return score


def sts_names(files: list[Path]) -> list[tuple[str, str]]:
    """Return name and split of each file, from names such as stsb-tr-test.tsv.gz; no two are alike."""
    seen: Counter[tuple[str, str]] = Counter()
    names = []
    for file in files:
        stem = _ENDINGS.sub("", file.name)
        parts = re.fullmatch(rf"(.+)[-_.]({'|'.join(_SPLITS)})", stem)
        name, split = (parts[1], parts[2]) if parts else (stem, "as given")
        if stem in _SPLITS:  # stsb-tr/test.tsv
            name, split = file.absolute().parent.name, stem
        seen[name, split] += 1
        number = seen[name, split]
        names.append((f"{name} ({number})" if number > 1 else name, split))
    return names


def _run(evaluator: Any, model: SentenceTransformer) -> dict[str, float]:
    def compute(batch_size: int) -> dict[str, float]:
        evaluator.batch_size = batch_size
        return {name: float(value) for name, value in evaluator(model).items()}

    return in_smaller_batches(_BATCH, compute)
