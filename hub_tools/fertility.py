"""`hub-distill fertility`: tokenizers side by side on one text."""

from __future__ import annotations

from pathlib import Path

from hub_tools.errors import UserError
from hub_tools.languages import WITHOUT_SPACES
from hub_tools.pipeline import find_tokenizer
from hub_tools.sources import read_texts
from hub_tools.surgery import TokenizerFiles
from hub_tools.surgery.report import fertility

_NAME_WIDTH = 40


def fertility_table(names: tuple[str, ...], file: Path, lang: str) -> str:
    """A table with one row a tokenizer.

    Args:
        names: folders or Hub ids.
        file: the text.
        lang: its language.

    Raises:
        UserError: the text is empty, or a tokenizer cannot be read.
    """
    texts = [text for text in read_texts(file, lang) if text.strip()]
    if not texts:
        raise UserError(f"{file} holds no text.")
    unit = "character" if lang in WITHOUT_SPACES else "word"
    lines = [f"{'tokenizer':{_NAME_WIDTH}} {'vocabulary':>10} {'tokens':>10} {'per ' + unit:>14} {'unknown':>9}"]
    for name in names:
        files = TokenizerFiles.read(find_tokenizer(name))
        tokenizer = files.load()
        found = fertility(tokenizer, texts, lang, files.spec["model"].get("unk_token"))
        shown = name if len(name) <= _NAME_WIDTH else "…" + name[1 - _NAME_WIDTH :]
        size = tokenizer.get_vocab_size(with_added_tokens=True)
        lines.append(
            f"{shown:{_NAME_WIDTH}} {size:>10,} {found.tokens:>10,} {found.per_unit:>14.3f} {found.unknown:>9,}"
        )
    return "\n".join(lines)
