"""The examples of a skill as the trainer reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hub_tools.corpus.clean import hash_text
from hub_tools.evaluation.subject import Subject
from hub_tools.finetuning.data import Example, Parts
from hub_tools.finetuning.searches import Searches


def as_dataset(parts: Parts, subject: Subject, seed: int) -> Any:
    """Return a data set of inference, with a column for each text of an example."""
    examples = _with_contradictions([example for example in parts.train if example.same], seed)
    return _texts([example.texts for example in examples], subject)


def as_similarities(versions: Sequence[Parts], subject: Subject) -> Any:
    """Return the pairs of a set with their scores; of a set and its translation, those pairs that both have."""
    by_group = [{example.group: example for example in parts.train} for parts in versions]
    groups = [group for group in by_group[0] if all(group in own for own in by_group)]
    rows = [tuple(text for own in by_group for text in own[group].texts) for group in groups]
    return _texts(rows, subject).add_column("score", [by_group[0][group].score for group in groups])


def as_searches(searches: Searches, subject: Subject) -> Any:
    """Return the rows with their numbers, behind the prompts of queries and of passages."""
    from datasets import Dataset

    columns: dict[str, Any] = {}
    for kind, prompt in (("queries", subject.prompt("query")), ("passages", subject.prompt("document"))):
        for number, texts in enumerate(zip(*(getattr(row, kind) for row in searches.rows), strict=True)):
            columns[f"{kind}{number}"] = [prompt + text for text in texts]
    return Dataset.from_dict({**columns, "label": list(range(len(searches.rows)))})


def queries_in(dataset: Any) -> int:
    """Return how many queries of a passage a row holds; 0 where it is no search."""
    return sum(name.startswith("queries") for name in dataset.column_names)


def examples_in(dataset: Any) -> int:
    """Return how many examples a row holds: queries of a passage, or a pair and its translation."""
    pairs = len(dataset.column_names) // 2 if "score" in dataset.column_names else 1
    return queries_in(dataset) or pairs


def _texts(rows: Sequence[tuple[str, ...]], subject: Subject) -> Any:
    """Return texts in columns, those of a row behind the same prompt, which is drawn by the hash of the first one.

    Behind the query prompt alone, queries would move away from the passages that answer them.
    """
    from datasets import Dataset

    prompts = subject.prompt("query"), subject.prompt("document")
    drawn = [prompts[hash_text(f"prompt\t{row[0]}") % 2] for row in rows]
    columns = zip(*rows, strict=True)
    return Dataset.from_dict(
        {
            f"text{side}": [prompt + text for prompt, text in zip(drawn, texts, strict=True)]
            for side, texts in enumerate(columns)
        }
    )


def _with_contradictions(examples: Sequence[Example], seed: int) -> list[Example]:
    """Give examples without a contradiction that of another premise; where there is none at all, take pairs."""
    known = [example.texts[2] for example in examples if example.texts[2:]]
    if not known:
        return list(examples)
    drawn = np.random.default_rng(seed).integers(len(known), size=len(examples)).tolist()
    return [
        example._replace(texts=(*example.texts, known[number])[:3])
        for example, number in zip(examples, drawn, strict=True)
    ]
