"""What all cards hold: links, the teacher, the text and how to do the run again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from hub_tools.core.languages import name_of, names_of
from hub_tools.reporting.markdown import block, escape, inline_code, literal, render, yaml
from hub_tools.reporting.redact import redact_paths
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.reproduce import reproduce
from hub_tools.reporting.tables import markdown_table
from hub_tools.reporting.text import template_values
from hub_tools.results import TextCounts

# Kind of repo -> where the Hub's addresses of it begin.
_PLACES = {"model": "", "tokenizer": "", "dataset": "datasets/", "space": "spaces/"}


def render_card(
    kind: str, report: FullReport, repos: Mapping[str, str], metadata: dict[str, Any], **values: str | float | None
) -> str:
    """Return the card of a model, tokenizer or dataset repo; `values` are those that other cards do not have."""
    revisions = report.corpus.revisions
    return render(
        f"{kind}.md",
        **template_values(report, is_public=True),
        metadata=yaml(metadata),
        repo=literal(repos[kind]),
        **{f"{name}_link": _link(repos[name], place) if name in repos else None for name, place in _PLACES.items()},
        target=names_of(report.targets),
        teacher=escape(teacher_name(report)),
        teacher_link=teacher_link(report),
        example=literal(report.example.documents[0] if report.example else "a text"),
        normalizer_changes="\n".join(f"- {escape(change)}" for change in report.tokenizer.normalizer_changes),
        dim=str(report.embeddings.dim),
        corpus=_corpus(report),
        commits=", ".join(f"{inline_code(name)} at {inline_code(at)}" for name, at in revisions.items() if at) or None,
        reproduce=_how_to_reproduce(report),
        **values,
    )


def teacher_name(report: FullReport) -> str:
    """Return what to call the teacher in public: its Hub id, or the last part of its folder's name."""
    return report.teacher.hub_id or PurePath(report.teacher.id).name


def teacher_link(report: FullReport) -> str:
    """Return the teacher's name, as a link where it is on the Hub."""
    name = teacher_name(report)
    return _link(name) if report.teacher.hub_id else f"{inline_code(name)} (a local folder)"


def _link(repo_id: str, place: str = "") -> str:
    return f"[{escape(repo_id)}](https://huggingface.co/{place}{repo_id})"


def common_metadata(report: FullReport) -> dict[str, Any]:
    """Return what the metadata of model and tokenizer have in common."""
    teacher = report.teacher
    base = {"base_model": teacher.hub_id, "base_model_relation": "finetune"} if teacher.hub_id else {}
    return {"language": list(dict.fromkeys([*report.config.lang, "en"])), **(teacher.license or {}), **base}


def _corpus(report: FullReport) -> str:
    texts, pairs = report.corpus.text, report.corpus.parallel
    named = dict.fromkeys([*report.config.lang, "en"])
    rows = [_corpus_row(name_of(lang), texts[lang].sources, [texts[lang]]) for lang in named if lang in texts]
    if others := [lang for lang in texts if lang not in named]:
        sources = sorted({name for lang in others for name in sources_of(report, lang)})
        rows.append(_corpus_row(f"{len(others)} other languages", sources, [texts[lang] for lang in others]))
    if pairs:
        rows.append(_corpus_row("parallel text, pairs", pairs.files, [pairs]))
    return markdown_table([["text", "sources", "texts kept", "held out"], *rows], numbers=False)


def _corpus_row(label: str, sources: list[str], texts: Sequence[TextCounts]) -> list[str]:
    kept, heldout = sum(text.kept for text in texts), sum(text.heldout for text in texts)
    return [label, ", ".join(inline_code(redact_paths(name)) for name in sources), f"{kept:,}", f"{heldout:,}"]


def sources_of(report: FullReport, lang: str) -> list[str]:
    """Return the text sources of a language, with {lang} where they name it."""
    names = map(redact_paths, report.corpus.text[lang].sources)
    return [re.sub(rf"(?<![A-Za-z]){lang}(?![A-Za-z])", "{lang}", name) for name in names]


def _how_to_reproduce(report: FullReport) -> str:
    command, toml = reproduce(report)
    parts = [f"With [hub-tools](https://pypi.org/project/hub-tools/) {escape(report.versions['hub-tools'])}:"]
    parts += [block(command, "bash")]
    if toml:
        parts += ["with `run.toml`:", block(toml, "toml")]
    if "PATH/" in command:
        parts.append("`PATH` stands for a folder on the machine of the run.")
    return "\n\n".join(parts)
