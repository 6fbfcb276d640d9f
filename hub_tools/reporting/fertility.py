"""`hub-distill fertility`: tokenizers side by side on the same text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hub_tools.core.errors import UserError
from hub_tools.core.files import write_json, write_text
from hub_tools.core.languages import LANGUAGES, MORE_LANGUAGES, WITHOUT_SPACES, name_of
from hub_tools.corpus.readers import read_table, read_texts
from hub_tools.models.teacher import find_tokenizer
from hub_tools.tokenization.metrics import parity, side_by_side
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

_NAME_WIDTH = 40
_COLUMNS = {
    "tokens_per_word": ("per word", ".3f"),
    "characters_per_token": ("chars/token", ".2f"),
    "bytes_per_token": ("bytes/token", ".2f"),
    "continued_words": ("continued", ".1%"),
    "renyi_efficiency": ("Renyi", ".3f"),
    "tokens_used": ("used", ",d"),
    "unknown": ("unknown", ",d"),
}


def compare(
    names: tuple[str, ...], text: str, lang: str, *, parallel: Path | None = None, out: Path | None = None
) -> str:
    """Compare tokenizers on text, and optionally on aligned text.

    Args:
        names: folders or Hub ids.
        text: a file, or a path with `{lang}` for many languages.
        lang: the language of the text; with `{lang}`, the one that is shown first.
        parallel: a table with one column a language; parity is the tokens of each over those of English.
        out: folder for fertility.json, fertility.md and a figure.

    Returns:
        A table for people.

    Raises:
        UserError: there is no text, or a tokenizer cannot be read.
    """
    tokenizers = {name: TokenizerSpec.read(find_tokenizer(name)[0]) for name in dict.fromkeys(names)}
    found: dict[str, Any] = {
        "vocabulary": {n: len(f.ids) for n, f in tokenizers.items()},
        "text": side_by_side(tokenizers, _texts(text, lang)),
        "parity": _parity(tokenizers, parallel) if parallel else {},
    }
    lines = _lines(found)
    if out is not None:
        _write(out, found, lang, lines)
    return "\n".join(lines)


def _texts(text: str, lang: str) -> dict[str, list[str]]:
    if "{lang}" not in text:
        languages = [lang]
    else:
        languages = [c for c in (*LANGUAGES, *MORE_LANGUAGES) if Path(text.replace("{lang}", c)).is_file()]
        languages.sort(key=lambda code: code != lang)
    texts = {c: [t for t in read_texts(Path(text.replace("{lang}", c)), c) if t.strip()] for c in languages}
    if not any(texts.values()):
        raise UserError(f"{text} holds no text.")
    return texts


def _parity(tokenizers: dict[str, TokenizerSpec], file: Path) -> dict[str, dict[str, float]]:
    rows = list(read_table(file))
    if not rows or "en" not in rows[0]:
        raise UserError(
            f"--parallel {file} has no column en with rows; expected one column a language, English among them."
        )
    languages = [c for c in rows[0] if c in {**LANGUAGES, **MORE_LANGUAGES} and c != "en"]
    found = {}
    for lang in languages:
        both = [(row["en"], row[lang]) for row in rows if row.get("en") and row.get(lang)]
        found[lang] = {name: round(parity(files.load(), both), 4) for name, files in tokenizers.items()}
    return found


def _lines(found: dict[str, Any]) -> list[str]:
    titles = [title for title, _ in _COLUMNS.values()]
    lines = []
    for lang, own in found["text"].items():
        unit = " (per character)" if lang in WITHOUT_SPACES else ""
        lines += [f"{name_of(lang)}{unit}", _row("tokenizer", ["vocabulary", *titles])]
        for name, figures in own.items():
            cells = [format(figures[key], shape) for key, (_, shape) in _COLUMNS.items()]
            lines.append(_row(name, [f"{found['vocabulary'][name]:,}", *cells]))
        lines.append("")
    if found["parity"]:
        names = list(found["vocabulary"])
        lines += [
            "Parity: tokens for one English token of the same text",
            _row("language", [_short(n, 11) for n in names]),
        ]
        lines += [_row(name_of(lang), [f"{own[n]:.2f}" for n in names]) for lang, own in found["parity"].items()]
    return lines


def _row(name: str, cells: list[str]) -> str:
    return f"{_short(name, _NAME_WIDTH):{_NAME_WIDTH}}" + "".join(f"{cell:>12}" for cell in cells)


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else "…" + name[1 - width :]


def _write(out: Path, found: dict[str, Any], lang: str, lines: list[str]) -> None:
    from hub_tools.reporting.figures import draw_fertility

    write_json(out / "fertility.json", found)
    fertility = {code: {n: f["tokens_per_word"] for n, f in own.items()} for code, own in found["text"].items()}
    draw_fertility(fertility, lang, out / "tokens_per_word.png")
    body = ["# Tokenizers side by side", "", "```", *lines, "```", "", "![Tokens per word](tokens_per_word.png)"]
    write_text(out / "fertility.md", "\n".join(body) + "\n")
