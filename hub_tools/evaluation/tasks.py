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
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.models.encoder import in_smaller_batches
from hub_tools.vectors.bitext import heldout_pairs

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_SPLITS = ("train", "dev", "validation", "test")
_ENDINGS = re.compile(r"(\.(tsv|csv|jsonl|parquet|txt))?(\.gz)?$")
_COLUMNS = ("sentence1", "sentence2", "score")
_BATCH = 128
_QUIET: dict[str, Any] = {"show_progress_bar": False, "write_csv": False}


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something that models are measured on."""

    name: str  # as the report shows it
    split: str  # train, dev, test, heldout or `as given`
    n: int  # pairs or questions
    measure: Callable[[SentenceTransformer], dict[str, float | None]]  # metrics by name; None where one is not defined


def sts_tasks(files: list[Path]) -> list[Task]:
    """Return the tasks of STS tables, named by their files; errors as of `read_sts`."""
    return [sts_task(file, f"STS {name}", split) for file, (name, split) in zip(files, sts_names(files), strict=True)]


def sts_task(file: Path, name: str, split: str) -> Task:
    """Return the correlations of cosines with the scores of a table, Spearman's and Pearson's; errors as `read_sts`."""
    first, second, scores = read_sts(file)
    if len(set(scores)) == 1:
        log.warning("%s: all scores are equal, so no correlation is defined", file)

    def measure(model: SentenceTransformer) -> dict[str, float | None]:
        from scipy.stats import ConstantInputWarning
        from sentence_transformers.evaluation import EmbeddingSimilarityEvaluator

        evaluator = EmbeddingSimilarityEvaluator(first, second, scores, main_similarity="cosine", **_QUIET)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConstantInputWarning)  # None says it
            values = _run(evaluator, model)
        correlations = {name: values[f"{name}_cosine"] for name in ("spearman", "pearson")}
        return {name: value if math.isfinite(value) else None for name, value in correlations.items()}

    return Task(name=name, split=split, n=len(scores), measure=measure)


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
    first, second, scores = [], [], []
    for number, row in enumerate(read_table(file), 2):
        where = f"--sts {file}, line {number}"
        missing = [column for column in _COLUMNS if row.get(column) in (None, "")]
        if missing:
            raise UserError(f"{where}: no {', '.join(missing)}. Expected columns {', '.join(_COLUMNS)}.")
        try:
            score = float(row["score"])
        except (TypeError, ValueError):
            score = math.nan
        if not math.isfinite(score):
            raise UserError(f"{where}: score {row['score']!r} is no number. Expected one such as 3.5.")
        scores.append(score)
        first.append(row["sentence1"])
        second.append(row["sentence2"])
    if len(scores) <= 1:  # a correlation needs two points
        raise UserError(f"--sts {file} holds {len(scores)} pairs. Expected at least two.")
    return first, second, scores


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
