"""The license that a card names, and what it asks for."""

from __future__ import annotations

import re

from hub_tools.corpus.sources import WIKIPEDIA
from hub_tools.reporting.cards.shared import changed, sources_of, teacher_link, teacher_name
from hub_tools.reporting.markdown import escape, inline_code
from hub_tools.reporting.redact import redact_paths
from hub_tools.reporting.report import FullReport

# What the Gemma terms (section 3.1) ask for with every model derived from Gemma.
_GEMMA_NOTICE = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"

_GEMMA_LICENSE = (
    f"{_GEMMA_NOTICE}. Whoever uses or passes this on is bound by these terms, with the use restrictions of "
    "their section 3.2, and passes them on."
)

# Licenses of the text sources that are known to this tool.
_SOURCE_LICENSES = {"sample ({lang})": ["cc0-1.0"], WIKIPEDIA: ["cc-by-sa-3.0", "gfdl"]}


def notice(report: FullReport, kind: str) -> str | None:
    """Return the text of the NOTICE file of the model or tokenizer repo, where the teacher's license asks for one."""
    if (report.teacher.license or {}).get("license") != "gemma":
        return None
    origin = f"{'the tokenizer of ' if kind == 'tokenizer' else ''}{teacher_name(report)}"
    return f"{_GEMMA_NOTICE}\n\nThis {kind} is a modification of {origin}: {changed(report, kind)}.\n"


def model_license(report: FullReport, kind: str) -> str:
    """Name the license of the model or the tokenizer, made from the teacher's weights and vocabulary."""
    teacher_license = report.teacher.license or {}
    known = teacher_license.get("license")
    if not known:
        return (
            f"The card of {teacher_link(report)} names no license, so none is named here. Ask its authors before you "
            f"use or pass on this one. What was changed: {changed(report, kind)}."
        )
    name = teacher_license.get("license_name") or known
    link = teacher_license.get("license_link")
    shown = f"[{escape(name)}]({link})" if _is_link(link) else inline_code(name)
    special = f"\n\n{_GEMMA_LICENSE}" if known == "gemma" else ""
    origin = "its tokenizer" if kind == "tokenizer" else "it"
    return (
        f"That of the teacher, {teacher_link(report)}: {shown}. This is a modification of {origin}: "
        f"{changed(report, kind)}.{special}"
    )


def _is_link(value: str | None) -> bool:
    return value is not None and re.fullmatch(r"https://[^\s()<>\"]+", value) is not None


def dataset_license(report: FullReport) -> str:
    """Name the license of the texts, as far as it is known."""
    licenses = text_licenses(report)
    if licenses:
        return (
            f"The texts: {', '.join(map(inline_code, licenses))}. The vectors were computed by {teacher_link(report)}."
        )
    return (
        "The texts keep the licenses of their sources, which are listed above and are not all known to the tool that "
        f"wrote this card. The vectors were computed by {teacher_link(report)}."
    )


def text_licenses(report: FullReport) -> list[str]:
    """Return the licenses of the text; nothing where one of the sources is not known."""
    names = {name.partition(":")[0] for lang in report.corpus.text for name in sources_of(report, lang)}
    names |= set(map(redact_paths, report.corpus.parallel.files)) if report.corpus.parallel else set()
    if not names or not names <= _SOURCE_LICENSES.keys():
        return []
    return sorted({license_id for name in names for license_id in _SOURCE_LICENSES[name]})
