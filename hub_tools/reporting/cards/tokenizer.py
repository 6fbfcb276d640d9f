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
from hub_tools.reporting.markdown import code, fill, literal, text, yaml
from hub_tools.reporting.reproduce import public
from hub_tools.reporting.text import Report, markdown_table

_LICENCE_OF_TAKEN = "That of the tokenizer it was taken from; the tool that wrote this card does not know which."


def tokenizer_card(report: Report, names: Names) -> str:
    """The README.md of the tokenizer repo; arguments as for `model_card`."""
    target = report["config"]["lang"][0]
    repo, tokenizer = str(names.tokenizer), report["tokenizer"]
    usage = (
        "from transformers import AutoTokenizer\n\n"
        f"tokenizer = AutoTokenizer.from_pretrained({literal(repo)})\n"
        f"tokenizer.tokenize({literal(example(report))})"
    )
    taken = report["config"]["tokenizer"].get("use") is not None
    metadata = {
        **({"language": report["config"]["lang"]} if taken else common_metadata(report)),
        "library_name": "transformers",
        "tags": ["tokenizer", "hub-distill", tokenizer["family"].lower()],
    }
    return fill(
        "tokenizer.md",
        metadata=yaml(metadata),
        title=f"A {name_of(target)} tokenizer for students of {text(teacher_name(report))}",
        summary=_tokenizer_summary(report),
        links=links(names, repo),
        usage=usage,
        fertility=fertility_table(report, language_order(tokenizer["fertility"], target)),
        fertility_note="Measured on text of the run, at most 1,000 texts a language; * marks tokens per character.",
        vocabulary=vocabulary_table(report),
        reproduce=how_to_reproduce(report),
        license=_LICENCE_OF_TAKEN if taken else model_license(report, "tokenizer"),
    )


def _tokenizer_summary(report: Report) -> str:
    tokenizer, target = report["tokenizer"], report["config"]["lang"][0]
    own = tokenizer["fertility"].get(target)
    unit = "character" if target in WITHOUT_SPACES else "word"
    measured = (
        f" {name_of(target)} text takes {own['student']:.2f} tokens a {unit} (the teacher's tokenizer: "
        f"{own['teacher']:.2f})."
        if own
        else ""
    )
    if taken := report["config"]["tokenizer"].get("use"):
        return (
            f"A {text(tokenizer['family'])} tokenizer of {tokenizer['vocab_size']:,} tokens, that of "
            f"{code(public(taken))} as it is. The tokenizer of {teacher_link(report)} has {tokenizer['kept']:,} of "
            f"them too.{measured}"
        )
    return (
        f"A {text(tokenizer['family'])} tokenizer of {tokenizer['vocab_size']:,} tokens, made from that of "
        f"{teacher_link(report)}: {tokenizer['kept']:,} tokens kept, {tokenizer['added']:,} learned.{measured}"
    )


def vocabulary_table(report: Report) -> str:
    """Where the tokens come from, and what was counted of them."""
    tokenizer = report["tokenizer"]
    reachable = tokenizer["added_reachable"]  # not looked at where the tokenizer was not made here
    rows = [
        ["tokenizer", ""],
        ["family", text(tokenizer["family"])],
        ["tokens", f"{tokenizer['vocab_size']:,}"],
        ["kept from the teacher", f"{tokenizer['kept']:,}"],
        ["added", f"{tokenizer['added']:,}"],
        *([["added, and produced by some text", f"{reachable:,}"]] if reachable is not None else []),
        ["measured texts with a new unknown token", f"{tokenizer['new_unknowns']:,}"],
        ["measured texts that do not come back", f"{tokenizer['round_trip_failures']:,}"],
    ]
    notes = [f"- {text(note)}" for note in tokenizer.get("normalizer_changes", [])]
    return "\n".join([*markdown_table(rows, numbers=False), *(["", *notes] if notes else [])])


def fertility_table(report: Report, languages: list[str]) -> str:
    """Tokens per word before and after, or nothing without languages."""
    fertility = report["tokenizer"]["fertility"]
    if not languages:
        return ""
    rows = [["tokens per word", "teacher", "student"]]
    for lang in languages:
        label = name_of(lang) + ("*" if lang in WITHOUT_SPACES else "")
        rows.append([text(label), f"{fertility[lang]['teacher']:.2f}", f"{fertility[lang]['student']:.2f}"])
    return "\n".join(markdown_table(rows))
