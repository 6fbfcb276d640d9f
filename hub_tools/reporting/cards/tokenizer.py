"""The card of the tokenizer repo."""

from __future__ import annotations

from hub_tools.core.languages import WITHOUT_SPACES, language_order, name_of
from hub_tools.reporting.cards.licenses import model_license
from hub_tools.reporting.cards.shared import (
    Names,
    common_metadata,
    example,
    how_to_reproduce,
    links,
    teacher_link,
    teacher_name,
)
from hub_tools.reporting.markdown import escape, inline_code, literal, render, yaml
from hub_tools.reporting.redact import redact_paths
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.tables import markdown_table

_LICENSE_OF_READY = "That of the tokenizer it was taken from; the tool that wrote this card does not know which."


def tokenizer_card(report: FullReport, names: Names) -> str:
    """Return the README.md of the tokenizer repo; arguments as for `model_card`."""
    repo, ready = str(names.tokenizer), report.config.tokenizer.use
    metadata = {
        **({"language": list(report.config.lang)} if ready else common_metadata(report)),
        "library_name": "transformers",
        "tags": ["tokenizer", "hub-distill", report.tokenizer.family.lower()],
    }
    return render(
        "tokenizer.md",
        metadata=yaml(metadata),
        target=name_of(report.target),
        teacher=escape(teacher_name(report)),
        summary=_summary(report),
        links=links(names, repo),
        repo=literal(repo),
        example=literal(example(report)),
        fertility=fertility_table(report, language_order(report.tokenizer.fertility, report.target)),
        vocabulary=vocabulary_table(report),
        reproduce=how_to_reproduce(report),
        license=_LICENSE_OF_READY if ready else model_license(report, "tokenizer"),
    )


def _summary(report: FullReport) -> str:
    tokenizer, target = report.tokenizer, report.target
    measured = ""
    if tokens := tokenizer.fertility.get(target):
        unit = "character" if target in WITHOUT_SPACES else "word"
        measured = (
            f" {name_of(target)} text takes {tokens['student']:.2f} tokens a {unit} (the teacher's tokenizer: "
            f"{tokens['teacher']:.2f})."
        )
    kind = f"A {escape(tokenizer.family)} tokenizer of {tokenizer.vocab_size:,} tokens"
    if ready := report.config.tokenizer.use:
        return (
            f"{kind}, that of {inline_code(redact_paths(ready))} as it is. The tokenizer of {teacher_link(report)} has "
            f"{tokenizer.kept:,} of them too.{measured}"
        )
    return (
        f"{kind}, made from that of {teacher_link(report)}: {tokenizer.kept:,} tokens kept, {tokenizer.added:,} "
        f"learned.{measured}"
    )


def vocabulary_table(report: FullReport) -> str:
    """Return where the tokens come from, and what was counted of them."""
    tokenizer = report.tokenizer
    reachable = tokenizer.added_reachable  # not counted for a tokenizer that was not made here
    rows = [
        ["tokenizer", ""],
        ["family", escape(tokenizer.family)],
        ["tokens", f"{tokenizer.vocab_size:,}"],
        ["kept from the teacher", f"{tokenizer.kept:,}"],
        ["added", f"{tokenizer.added:,}"],
        *([["added, and produced by some text", f"{reachable:,}"]] if reachable is not None else []),
        ["measured texts with a new unknown token", f"{tokenizer.new_unknowns:,}"],
        ["measured texts that do not come back", f"{tokenizer.round_trip_failures:,}"],
    ]
    notes = "\n".join(f"- {escape(note)}" for note in tokenizer.normalizer_changes)
    return "\n\n".join(part for part in (markdown_table(rows, numbers=False), notes) if part)


def fertility_table(report: FullReport, languages: list[str]) -> str:
    """Return tokens per word before and after; nothing without languages."""
    if not languages:
        return ""
    rows = [["tokens per word", "teacher", "student"]]
    for lang in languages:
        tokens = report.tokenizer.fertility[lang]
        label = name_of(lang) + ("*" if lang in WITHOUT_SPACES else "")
        rows.append([escape(label), f"{tokens['teacher']:.2f}", f"{tokens['student']:.2f}"])
    return markdown_table(rows)
