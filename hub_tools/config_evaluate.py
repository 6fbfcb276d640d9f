"""The options that say what models are measured on; a part of `hub_tools.config`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hub_tools.core.fields import FILE, Section, option


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Section):
    """What teacher, clone and student are measured on besides held-out text."""

    section: ClassVar[str] = "evaluate"
    sts: tuple[str, ...] = option((), "Similarity table to measure on (sentence1, sentence2, score).", metavar=FILE)
    retrieval: tuple[str, ...] = option(
        (),
        "Retrieval to measure on: QUERIES,PASSAGES[,QRELS], or a folder with queries, corpus and qrels.",
        metavar=FILE,
    )
    bitext: tuple[str, ...] = option(
        (), "Translations to measure on (en and the target's code, or source and target).", metavar=FILE
    )
    classification: tuple[str, ...] = option(
        (), "Labelled texts to measure on (text, label, split), or TRAIN,TEST (text, label).", metavar=FILE
    )
    clustering: tuple[str, ...] = option((), "Groups of texts to measure on (text, label).", metavar=FILE)
    pairs: tuple[str, ...] = option(
        (), "Pairs that mean the same or not, to measure on (sentence1, sentence2, label).", metavar=FILE
    )
    max_tokens: int | None = option(
        None,
        "Tokens of a text that all models read.",
        minimum=2,
        unset="as many as the model that reads fewest",
    )
    mteb: tuple[str, ...] = option(
        (),
        "Task of mteb to measure on, or a language (tr or tur) for all its tasks; results of the files above are then "
        "written in mteb's format too, with `files` these alone. Needs the extra eval.",
        metavar="TASK_OR_LANG",
    )
