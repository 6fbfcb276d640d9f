"""Tables of aligned text: the texts of two languages that say the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from hub_tools.core.errors import UserError
from hub_tools.corpus.clean import LONGEST_TEXT, clean
from hub_tools.corpus.readers import TRANSLATION, column_names, list_names, read_columns, text_of

# The language of text of which nobody says one, as BCP 47 names it.
UNDETERMINED = "und"


class Pair(NamedTuple):
    """A text that the teacher reads, its translation into the target language, the text's language, and its file."""

    source: str
    target: str
    lang: str
    origin: str

    @property
    def sides(self) -> tuple[str, str]:
        """Both texts."""
        return self.source, self.target

    @property
    def is_long(self) -> bool:
        """Whether a side is too long to be kept."""
        return max(map(len, self.sides)) > LONGEST_TEXT


def read_pairs(file: Path, target: str, limit: int | None) -> Iterator[Pair]:
    """Yield the pairs of a table, cleaned but for those with a side that is too long to be kept."""
    names = column_names(file)
    columns, lang = _pair_columns(file, names, target) if names else ((), "")
    for where, cells in islice(read_columns(file, columns), limit):
        named = zip(columns, cells, strict=True)
        if columns == (TRANSLATION,):
            named = zip(("en", target), _translations(cells[0], where, target), strict=True)
        sides = [text_of(cell, f"{where}: {column!r}") for column, cell in named]
        source, translation = (side if len(side) > LONGEST_TEXT else clean(side) for side in sides)
        yield Pair(source, translation, lang, file.name)


def _pair_columns(file: Path, names: list[str], target: str) -> tuple[tuple[str, ...], str]:
    """Return the columns of both sides, and the language of the first: a column `source` may hold any."""
    # Language codes first: a column `source` often says where a pair was found.
    known = ((("en", target), "en"), ((TRANSLATION,), "en"), (("source", "target"), UNDETERMINED))
    for columns, lang in known:
        if all(column in names for column in columns):
            return columns, lang
    raise UserError(
        f"--parallel {file} has the columns {list_names(names)}; expected en and {target}, source and target, or "
        f"{TRANSLATION} with both."
    )


def _translations(cell: Any, where: str, target: str) -> tuple[Any, Any]:
    """Return both sides of an object such as {"en": "Hi.", "tr": "Selam."}."""
    if cell is None:
        return None, None
    if not isinstance(cell, dict) or not {"en", target} <= cell.keys():
        example = f'{{"en": "...", "{target}": "..."}}'
        raise UserError(f"{where}: {TRANSLATION!r} is {ascii(cell)[:80]}; expected an object such as {example}.")
    return cell["en"], cell[target]
