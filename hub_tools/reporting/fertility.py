"""Tokenizers side by side on the same text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from hub_tools.core.errors import UserError
from hub_tools.core.files import write_json, write_text
from hub_tools.core.languages import LANGUAGES, MORE_LANGUAGES, WITHOUT_SPACES, name_of
from hub_tools.core.plain import to_plain
from hub_tools.corpus.readers import read_table, read_texts
from hub_tools.models.resolve import find_tokenizer
from hub_tools.models.tokenizer import read_tokenizer
from hub_tools.reporting.markdown import block, escape
from hub_tools.reporting.plots import draw_tokens, tokens_alt
from hub_tools.reporting.tables import UNREAD, measure_text, terminal_table
from hub_tools.results import Figures, is_read
from hub_tools.tokenization.metrics import measure, parity, side_by_side
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

_COLUMNS = {
    "tokens_per_word": ("per word", ".3f"),
    "characters_per_token": ("chars/token", ".2f"),
    "bytes_per_token": ("bytes/token", ".2f"),
    "continued_words": ("continued", ".1%"),
    "renyi_efficiency": ("Renyi", ".3f"),
    "tokens_used": ("used", ",d"),
    "unknown_tokens": ("unknown", ".1%"),
}


@dataclass(frozen=True, kw_only=True)
class TokenizerComparison:
    """Tokenizers measured on the same text; as text, a table for people."""

    vocabulary: dict[str, int]  # tokenizer -> number of tokens
    text: dict[str, dict[str, Figures]]  # language -> tokenizer -> figures
    # Language -> tokenizer -> tokens for one English token of the same text; None where it does not read the language.
    parity: dict[str, dict[str, float | None]]

    def __str__(self) -> str:
        parts = []
        for lang, by_tokenizer in self.text.items():
            rows = [["tokenizer", "vocabulary", *(title for title, _ in _COLUMNS.values())]]
            for name, figures in by_tokenizer.items():
                cells = [measure_text(figures, key, shape) for key, (_, shape) in _COLUMNS.items()]
                rows.append([name, f"{self.vocabulary[name]:,}", *cells])
            unit = " (per character)" if lang in WITHOUT_SPACES else ""
            parts.append(f"{name_of(lang)}{unit}\n{terminal_table(rows)}")
        if self.parity:
            rows = [["language", *self.vocabulary]]
            for lang, ratios in self.parity.items():
                rows.append([name_of(lang), *map(_ratio, (ratios[name] for name in self.vocabulary))])
            parts.append(f"Parity: tokens for one English token of the same text\n{terminal_table(rows)}")
        is_marked = self.unread or any(None in ratios.values() for ratios in self.parity.values())
        return "\n\n".join([*parts, *([UNREAD] if is_marked else [])])

    @property
    def unread(self) -> set[tuple[str, str]]:
        """Languages, each with a tokenizer that reads so much of it as unknown that its count means nothing."""
        return {(lang, name) for lang, row in self.text.items() for name, found in row.items() if not is_read(found)}


def _ratio(ratio: float | None) -> str:
    return "?" if ratio is None else f"{ratio:.2f}"


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
    """Write fertility.json, fertility.md and a figure into a folder; `lang` stands out in the figure."""
    write_json(out / "fertility.json", to_plain(comparison))
    rates = {code: {n: f["tokens_per_word"] for n, f in row.items()} for code, row in comparison.text.items()}
    alt = escape(tokens_alt(rates, (lang,), comparison.unread))
    text, figure = block(str(comparison), ""), f"![{alt}](tokens_per_word.png)"
    write_text(out / "fertility.md", f"# Tokenizers side by side\n\n{text}\n\n{figure}\n")
    (out / "tokens_per_word.png").write_bytes(draw_tokens(rates, (lang,), comparison.unread))


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


def _parity(tokenizers: dict[str, TokenizerSpec], file: Path) -> dict[str, dict[str, float | None]]:
    rows = list(read_table(file))
    if not rows or "en" not in rows[0]:
        raise UserError(
            f"--parallel {file} has no column en with rows; expected one column a language, English among them."
        )
    languages = [c for c in rows[0] if c in {**LANGUAGES, **MORE_LANGUAGES} and c != "en"]
    loaded = {name: (tokenizer.load(), tokenizer.unk_token) for name, tokenizer in tokenizers.items()}
    ratios: dict[str, dict[str, float | None]] = {}
    for lang in languages:
        pairs = [(row["en"], row[lang]) for row in rows if row.get("en") and row.get(lang)]
        ratios[lang] = {
            name: round(parity(tokenizer, pairs), 4) if _reads(tokenizer, unk, pairs, lang) else None
            for name, (tokenizer, unk) in loaded.items()
        }
    return ratios


def _reads(tokenizer: Tokenizer, unk_token: str | None, pairs: list[tuple[str, str]], lang: str) -> bool:
    texts = map(list, zip(*pairs, strict=True))
    return all(is_read(measure(tokenizer, side, lang, unk_token)) for side in texts)
