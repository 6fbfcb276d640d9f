"""The card of the tokenizer repo."""

from __future__ import annotations

from collections.abc import Mapping

from hub_tools.core.languages import WITHOUT_SPACES, language_order, name_of
from hub_tools.reporting.cards.licenses import license_values
from hub_tools.reporting.cards.shared import common_metadata, render_card, teacher_link
from hub_tools.reporting.markdown import inline_code
from hub_tools.reporting.redact import redact_paths
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.text import fertility_table, token_counts


def tokenizer_card(report: FullReport, repos: Mapping[str, str]) -> str:
    """Return the README.md of the tokenizer repo; arguments as for `model_card`."""
    ready, fertility = report.config.tokenizer.use, report.tokenizer.fertility
    metadata = {
        **({"language": list(report.config.lang)} if ready else common_metadata(report)),
        "library_name": "transformers",
        "tags": ["tokenizer", "hub-distill", report.tokenizer.family.lower()],
    }
    return render_card(
        "tokenizer",
        report,
        repos,
        metadata,
        ready_tokenizer=inline_code(redact_paths(ready)) if ready else None,
        made_from=None if ready else teacher_link(report),
        measured=_measured(report),
        fertility=fertility_table(report.tokenizer, language_order(fertility, report.targets)),
        **license_values(report, "tokenizer"),
    )


def _measured(report: FullReport) -> str:
    sentences = []
    for lang in report.targets:
        if lang in report.tokenizer.fertility:
            unit = "character" if lang in WITHOUT_SPACES else "word"
            before, after = token_counts(report.tokenizer, lang)
            sentences.append(
                f" {name_of(lang)} text takes {after} tokens per {unit} (with the teacher's tokenizer: {before})."
            )
    return "".join(sentences)
