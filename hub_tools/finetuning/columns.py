"""The examples of a skill as the trainer reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hub_tools.corpus.clean import hash_text
from hub_tools.evaluation.subject import Subject
from hub_tools.finetuning.data import Example, Parts
from hub_tools.finetuning.negatives import Mined


def as_dataset(parts: Parts, mined: Mined | None, subject: Subject, seed: int) -> Any:
    """Return a data set with a column for each text of an example, behind a prompt of the `subject`.

    Of retrieval that is the prompt of its role. Similarity and inference take either one, drawn by the text's hash:
    behind the query prompt alone, queries would move away from the passages that answer them.
    """
    from datasets import Dataset

    examples = [example for example in (mined.examples if mined else parts.train) if example.same]
    if parts.labelled.skill == "nli":
        examples = _with_contradictions(examples, seed)
    query, document = subject.prompt("query"), subject.prompt("document")

    def prompt_of(text: str, side: int) -> str:
        if parts.labelled.skill == "retrieval":
            return document if side else query
        return (query, document)[hash_text(f"prompt\t{text}") % 2]

    columns: dict[str, Any] = {
        f"text{side}": [prompt_of(example.texts[side], side) + example.texts[side] for example in examples]
        for side in range(len(examples[0].texts))
    }
    if parts.labelled.skill == "sts":
        columns["score"] = [example.score for example in examples]
    elif mined is not None and mined.scores is not None:
        columns["scores"] = mined.scores.tolist()
    return Dataset.from_dict(columns)


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
