"""The license that a card names, and what it asks for."""

from __future__ import annotations

import re

from hub_tools.corpus.sources import WIKIPEDIA
from hub_tools.reporting.cards.shared import sources_of, teacher_link, teacher_name
from hub_tools.reporting.markdown import escape, inline_code
from hub_tools.reporting.redact import redact_paths
from hub_tools.reporting.report import FullReport

# What the Gemma terms (section 3.1) ask for with every model derived from Gemma.
_GEMMA_NOTICE = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"

# Licenses of the text sources that are known to this tool.
_SOURCE_LICENSES = {"sample ({lang})": ["cc0-1.0"], WIKIPEDIA: ["cc-by-sa-3.0", "gfdl"]}


def notice(report: FullReport, kind: str) -> str | None:
    """Return the text of the NOTICE file of the model or tokenizer repo, where the teacher's license asks for one."""
    if (report.teacher.license or {}).get("license") != "gemma":
        return None
    origin = f"{'the tokenizer of ' if kind == 'tokenizer' else ''}{teacher_name(report)}"
    return f"{_GEMMA_NOTICE}\n\nThis {kind} is a modification of {origin}: {_changed(report, kind)}.\n"


def license_values(report: FullReport, kind: str) -> dict[str, str | None]:
    """Return what the card of a model or tokenizer says of the license."""
    if kind == "tokenizer" and report.config.tokenizer.use:  # it was not made from the teacher's
        return dict.fromkeys(("license", "unlicensed", "changed", "gemma_notice"))
    teacher_license = report.teacher.license or {}
    known, link = teacher_license.get("license"), teacher_license.get("license_link")
    name = teacher_license.get("license_name") or known
    is_link = link is not None and re.fullmatch(r"https://[^\s()<>\"]+", link)
    shown = f"[{escape(name)}]({link})" if is_link else inline_code(name)
    return {
        "license": shown if known else None,
        "unlicensed": None if known else teacher_link(report),
        "changed": _changed(report, kind),
        "gemma_notice": _GEMMA_NOTICE if known == "gemma" else None,
    }


def _changed(report: FullReport, kind: str) -> str:
    """Say what became of the teacher in the model repo or the tokenizer repo, as licenses ask for."""
    tokenizer = report.tokenizer
    if kind == "tokenizer":
        return f"{tokenizer.kept:,} of its tokens were kept and {tokenizer.added:,} others put beside them"
    return (
        f"its tokenizer was replaced by one of {tokenizer.vocab_size:,} tokens, its token embeddings with it, and all "
        "weights were trained further"
    )


def text_licenses(report: FullReport) -> list[str]:
    """Return the licenses of the text; nothing where one of the sources is not known."""
    names = {name.partition(":")[0] for lang in report.corpus.text for name in sources_of(report, lang)}
    names |= set(map(redact_paths, report.corpus.parallel.files)) if report.corpus.parallel else set()
    if not names or not names <= _SOURCE_LICENSES.keys():
        return []
    return sorted({license_id for name in names for license_id in _SOURCE_LICENSES[name]})
