"""Which license is named, and what it asks for."""

from __future__ import annotations

import re

from hub_tools.corpus.sources import WIKIPEDIA
from hub_tools.reporting.cards.shared import changed, license_of, sources_of, teacher_link, teacher_name
from hub_tools.reporting.markdown import code, text
from hub_tools.reporting.reproduce import public
from hub_tools.reporting.text import Report

# What the Gemma terms (section 3.1) want with every model derived from Gemma.
_GEMMA_NOTICE = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"

_GEMMA_LICENCE = (
    f"{_GEMMA_NOTICE}. Whoever uses or passes this on is bound by these terms, with the use restrictions of "
    "their section 3.2, and passes them on."
)

# Licenses of the text sources that are known to this tool.
_SOURCE_LICENCES = {"sample ({lang})": ["cc0-1.0"], WIKIPEDIA: ["cc-by-sa-3.0", "gfdl"]}


def notice(report: Report, what: str) -> str | None:
    """The text of the NOTICE file of the model or tokenizer repo, where the teacher's license asks for one."""
    if license_of(report).get("license") != "gemma":
        return None
    origin = f"{'the tokenizer of ' if what == 'tokenizer' else ''}{teacher_name(report)}"
    return f"{_GEMMA_NOTICE}\n\nThis {what} is a modification of {origin}: {changed(report, what)}.\n"


def model_license(report: Report, what: str) -> str:
    """The license of the model or the tokenizer, made from the teacher's weights and vocabulary."""
    teacher_license = license_of(report)
    known = teacher_license.get("license")
    if not known:
        return (
            f"The card of {teacher_link(report)} names no license, so none is named here. Ask its authors before you "
            f"use or pass on this one. What was changed: {changed(report, what)}."
        )
    name = teacher_license.get("license_name") or known
    link = teacher_license.get("license_link")
    shown = f"[{text(name)}]({link})" if _is_link(link) else code(name)
    special = f"\n\n{_GEMMA_LICENCE}" if known == "gemma" else ""
    origin = "its tokenizer" if what == "tokenizer" else "it"
    return (
        f"That of the teacher, {teacher_link(report)}: {shown}. This is a modification of {origin}: "
        f"{changed(report, what)}.{special}"
    )


def _is_link(value: str | None) -> bool:
    return value is not None and re.fullmatch(r"https://[^\s()<>\"]+", value) is not None


def dataset_license(report: Report) -> str:
    """The license of the texts, as far as it is known."""
    licenses = text_licenses(report)
    if licenses:
        return f"The texts: {', '.join(map(code, licenses))}. The vectors were computed by {teacher_link(report)}."
    return (
        "The texts keep the licenses of their sources, which are listed above and are not all known to the tool that "
        f"wrote this card. The vectors were computed by {teacher_link(report)}."
    )


def text_licenses(report: Report) -> list[str]:
    """Licenses of the text, or nothing when one of the sources is not known."""
    names = {name.partition(":")[0] for lang in report["corpus"]["text"] for name in sources_of(report, lang)}
    names |= {public(name) for name in (report["corpus"]["parallel"] or {}).get("files", [])}
    if not names or not names <= _SOURCE_LICENCES.keys():
        return []
    return sorted({own for name in names for own in _SOURCE_LICENCES[name]})
