"""Tokenizers side by side on the same text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hub_tools.core.errors import UserError
from hub_tools.core.files import write_json, write_text
from hub_tools.core.languages import LANGUAGES, MORE_LANGUAGES, WITHOUT_SPACES, name_of
from hub_tools.core.plain import to_plain
from hub_tools.corpus.readers import read_table, read_texts
from hub_tools.models.resolve import find_tokenizer
from hub_tools.models.tokenizer import read_tokenizer
from hub_tools.reporting.markdown import block
from hub_tools.reporting.tables import terminal_table
from hub_tools.results import Figures
from hub_tools.tokenization.metrics import parity, side_by_side
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

_COLUMNS = {
    "tokens_per_word": ("per word", ".3f"),
    "characters_per_token": ("chars/token", ".2f"),
    "bytes_per_token": ("bytes/token", ".2f"),
    "continued_words": ("continued", ".1%"),
    "renyi_efficiency": ("Renyi", ".3f"),
    "tokens_used": ("used", ",d"),
    "unknown": ("unknown", ",d"),
}


@dataclass(frozen=True, kw_only=True)
class TokenizerComparison:
    """Tokenizers measured on the same text; as text, a table for people."""

    vocabulary: dict[str, int]  # tokenizer -> number of tokens
    text: dict[str, dict[str, Figures]]  # language -> tokenizer -> figures
    parity: dict[str, dict[str, float]]  # language -> tokenizer -> tokens for one English token of the same text

    def __str__(self) -> str:
        parts = []
        for lang, by_tokenizer in self.text.items():
            rows = [["tokenizer", "vocabulary", *(title for title, _ in _COLUMNS.values())]]
            for name, figures in by_tokenizer.items():
                cells = [format(figures[key], shape) for key, (_, shape) in _COLUMNS.items()]
                rows.append([name, f"{self.vocabulary[name]:,}", *cells])
            unit = " (per character)" if lang in WITHOUT_SPACES else ""
            parts.append(f"{name_of(lang)}{unit}\n{terminal_table(rows)}")
        if self.parity:
            rows = [["language", *self.vocabulary]]
            for lang, ratios in self.parity.items():
                rows.append([name_of(lang), *(f"{ratios[name]:.2f}" for name in self.vocabulary)])
            parts.append(f"Parity: tokens for one English token of the same text\n{terminal_table(rows)}")
        return "\n\n".join(parts)


def compare(names: Sequence[str], text: str, lang: str, *, parallel: Path | None = None) -> TokenizerComparison:
    """Compare tokenizers (folders or Hub ids) on text, and optionally on aligned text.

    `text` is a file, or a path with `{lang}` for many languages, of which `lang` is shown first. `parallel` is a table
    with one column a language; parity is the tokens of each over those of English.

    Raises:
        UserError: there is no text, or a tokenizer cannot be read.
    """
    tokenizers = {name: read_tokenizer(find_tokenizer(name)[0]) for name in dict.fromkeys(names)}
    return TokenizerComparison(
        vocabulary={name: len(tokenizer.vocab) for name, tokenizer in tokenizers.items()},
        text=side_by_side(tokenizers, _texts(text, lang)),
        parity=_parity(tokenizers, parallel) if parallel else {},
    )


def write_comparison(comparison: TokenizerComparison, out: Path, lang: str) -> None:
    """Write fertility.json, fertility.md and a figure into a folder; `lang` comes first in the figure."""
    from hub_tools.reporting.figures import draw_fertility

    write_json(out / "fertility.json", to_plain(comparison))
    text, figure = block(str(comparison), ""), "![Tokens per word](tokens_per_word.png)"
    write_text(out / "fertility.md", f"# Tokenizers side by side\n\n{text}\n\n{figure}\n")
    fertility = {code: {n: f["tokens_per_word"] for n, f in row.items()} for code, row in comparison.text.items()}
    (out / "tokens_per_word.png").write_bytes(draw_fertility(fertility, lang))


def _texts(text: str, lang: str) -> dict[str, list[str]]:
    if "{lang}" in text:
        files = {code: Path(text.replace("{lang}", code)) for code in (lang, *LANGUAGES, *MORE_LANGUAGES)}
        files = {code: file for code, file in files.items() if file.is_file()}
    else:
        files = {lang: Path(text)}
    texts = {code: [line for line in read_texts(file, code) if line.strip()] for code, file in files.items()}
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
    loaded = {name: tokenizer.load() for name, tokenizer in tokenizers.items()}
    ratios = {}
    for lang in languages:
        pairs = [(row["en"], row[lang]) for row in rows if row.get("en") and row.get(lang)]
        ratios[lang] = {name: round(parity(tokenizer, pairs), 4) for name, tokenizer in loaded.items()}
    return ratios
