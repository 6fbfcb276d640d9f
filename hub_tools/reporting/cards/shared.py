"""What all cards hold: the repos, the teacher, the text and how to do the run again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from hub_tools.core.languages import name_of
from hub_tools.reporting.markdown import block, escape, inline_code
from hub_tools.reporting.redact import redact_paths
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.reproduce import reproduce
from hub_tools.reporting.tables import markdown_table


@dataclass(frozen=True, kw_only=True)
class Names:
    """Hub ids of the repos of one run; None for a repo that does not exist.

    Attributes:
        model: the student.
        tokenizer: its tokenizer alone.
        dataset: the teacher's vectors.
        space: the demo.
    """

    model: str | None = None
    tokenizer: str | None = None
    dataset: str | None = None
    space: str | None = None


def teacher_name(report: FullReport) -> str:
    """Return what to call the teacher in public: its Hub id, or the last part of its folder's name."""
    teacher = report.teacher
    return teacher.id if teacher.revision else PurePath(teacher.id).name


def teacher_link(report: FullReport) -> str:
    """Return the teacher's name, as a link where it is on the Hub."""
    name = teacher_name(report)
    if not report.teacher.revision:
        return f"{inline_code(name)} (a local folder)"
    return f"[{escape(name)}](https://huggingface.co/{name})"


def links(names: Names, this_repo: str) -> str:
    """Return a list of the repos of the run but the one that the card belongs to."""
    places = [
        ("Model", "", names.model),
        ("Tokenizer", "", names.tokenizer),
        ("Teacher's vectors", "datasets/", names.dataset),
        ("Demo", "spaces/", names.space),
    ]
    lines = [
        f"- {label}: [{escape(name)}](https://huggingface.co/{prefix}{name})"
        for label, prefix, name in places
        if name and name != this_repo
    ]
    return "\n".join(lines)


def common_metadata(report: FullReport) -> dict[str, Any]:
    """Return what the metadata of model and tokenizer have in common."""
    teacher = report.teacher
    base = {"base_model": teacher.id, "base_model_relation": "finetune"} if teacher.revision else {}
    return {"language": list(report.config.lang), **(teacher.license or {}), **base}


def changed(report: FullReport, kind: str) -> str:
    """Say what became of the teacher in the model repo or the tokenizer repo, as licenses ask for."""
    tokenizer = report.tokenizer
    if kind == "tokenizer":
        return f"{tokenizer.kept:,} of its tokens were kept and {tokenizer.added:,} others put beside them"
    return (
        f"its tokenizer was replaced by one of {tokenizer.vocab_size:,} tokens, its token embeddings with it, and all "
        "weights were trained further"
    )


def example(report: FullReport) -> str:
    """Return a text to show: a search of the run, or plain words."""
    return report.searches[0].query if report.searches else "a question"


def left_out(report: FullReport) -> str:
    """Say why texts of a language were not embedded; nothing where all were."""
    languages = [name_of(lang) for lang in report.embeddings.left_out]
    accuracy = report.embeddings.teacher_bitext_accuracy
    if not languages or accuracy is None:
        return ""
    return (
        f"The teacher finds {100 * accuracy:.0f} % of the held-out translations, so its own vectors of "
        f"{', '.join(languages)} text are no goal: that language is taught by the parallel text alone."
    )


def corpus_table(report: FullReport) -> str:
    """Return which text the run read, and at which commits."""
    corpus, named = report.corpus, dict.fromkeys([*report.config.lang, "en"])
    rows = [["text", "sources", "texts kept", "held out"]]
    for lang in (lang for lang in named if lang in corpus.text):
        text = corpus.text[lang]
        rows.append([name_of(lang), _codes(map(redact_paths, text.sources)), f"{text.kept:,}", f"{text.heldout:,}"])
    others = [lang for lang in corpus.text if lang not in named]
    if others:
        sources = sorted({name for lang in others for name in sources_of(report, lang)})
        kept = sum(corpus.text[lang].kept for lang in others)
        heldout = sum(corpus.text[lang].heldout for lang in others)
        rows.append([f"{len(others)} other languages", _codes(sources), f"{kept:,}", f"{heldout:,}"])
    if pairs := corpus.parallel:
        files = _codes(map(redact_paths, pairs.files))
        rows.append(["parallel text, pairs", files, f"{pairs.kept:,}", f"{pairs.heldout:,}"])
    table = markdown_table(rows, numbers=False)
    read = [f"{inline_code(name)} at {inline_code(commit)}" for name, commit in corpus.revisions.items() if commit]
    return f"{table}\n\nDatasets of the Hub were read as they were: {', '.join(read)}." if read else table


def _codes(names: Iterable[str]) -> str:
    return ", ".join(map(inline_code, names))


def sources_of(report: FullReport, lang: str) -> list[str]:
    """Return the text sources of a language, with {lang} where they name it."""
    names = map(redact_paths, report.corpus.text[lang].sources)
    return [re.sub(rf"(?<![A-Za-z]){lang}(?![A-Za-z])", "{lang}", name) for name in names]


def how_to_reproduce(report: FullReport) -> str:
    """Return the command that does the run again, with its versions."""
    command, toml = reproduce(report)
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    parts = [block(command, "bash")]
    if toml:
        parts += ["with `run.toml`:", block(toml, "toml")]
    if "PATH/" in command:
        parts.append("`PATH` stands for a folder on the machine of the run.")
    parts.append(f"Versions: {escape(versions)}.")
    return "\n\n".join(parts)
