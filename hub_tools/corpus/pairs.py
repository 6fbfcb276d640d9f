"""Aligned text, in tables or datasets of the Hub: the texts of two languages that say the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from hub_tools.core.errors import UserError
from hub_tools.corpus.clean import LONGEST_TEXT, clean
from hub_tools.corpus.readers import TRANSLATION, column_names, list_names, read_columns, text_of
from hub_tools.corpus.sources import dataset_revision, is_dataset_id, names_file, stream_rows

# The language of text of which nobody says one, as BCP 47 names it.
UNDETERMINED = "und"


class Pair(NamedTuple):
    """A text that the teacher reads, its translation into the target language, the text's language, and its origin."""

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


@dataclass(frozen=True, kw_only=True)
class HubPairs:
    """Aligned text in a dataset of the Hub; its pairs are streamed in their order."""

    dataset: str  # as it was asked for: owner/name, or owner/name@revision
    config: str
    split: str
    revision: str | None  # the commit; None where it is not known

    @property
    def identity(self) -> list[str | None]:
        """Plain data that changes when the content does."""
        return [self.dataset, self.config, self.split, self.revision]

    @property
    def name(self) -> str:
        """What to call it: owner/name:config."""
        return ":".join(filter(None, (self.dataset, self.config)))

    def __str__(self) -> str:
        return self.name

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield its rows."""
        name, _, branch = self.dataset.partition("@")
        return stream_rows(name, self.config, self.split, revision=self.revision or branch or None)


def find_hub_pairs(spec: str) -> HubPairs | None:
    """Return the dataset of the Hub that a --parallel value `owner/name[@revision][:config[:split]]` stands for.

    None where it stands for files of this machine. A UserError says that there is no such dataset.
    """
    dataset, config, split = (*spec.split(":"), "", "")[:3]
    name, _, branch = dataset.partition("@")
    if names_file(spec) or not is_dataset_id(name):
        return None
    return HubPairs(dataset=dataset, config=config, split=split or "train", revision=dataset_revision(name, branch))


def read_pairs(table: Path | HubPairs, target: str, limit: int | None) -> Iterator[Pair]:
    """Yield the pairs of a table, cleaned but for those with a side that is too long to be kept."""
    names = column_names(table) if isinstance(table, Path) else list(next(table.rows(), {}))
    columns, lang = _pair_columns(table, names, target) if names else ((), "")
    for where, cells in islice(_cells(table, columns), limit):
        named = zip(columns, cells, strict=True)
        if columns == (TRANSLATION,):
            named = zip(("en", target), _translations(cells[0], where, target), strict=True)
        sides = [text_of(cell, f"{where}: {column!r}") for column, cell in named]
        source, translation = (side if len(side) > LONGEST_TEXT else clean(side) for side in sides)
        yield Pair(source, translation, lang, table.name)


def _cells(table: Path | HubPairs, columns: tuple[str, ...]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the place of each row, for messages, and its cells in some columns."""
    if isinstance(table, Path):
        yield from read_columns(table, columns)
    elif columns:
        for number, row in enumerate(table.rows(), 1):
            yield f"Dataset {table}, pair {number}", tuple(row.get(column) for column in columns)


def _pair_columns(table: Path | HubPairs, names: list[str], target: str) -> tuple[tuple[str, ...], str]:
    """Return the columns of both sides, and the language of the first: a column `source` may hold any."""
    # Language codes first: a column `source` often says where a pair was found.
    known = ((("en", target), "en"), ((TRANSLATION,), "en"), (("source", "target"), UNDETERMINED))
    for columns, lang in known:
        if all(column in names for column in columns):
            return columns, lang
    raise UserError(
        f"--parallel {table} has the columns {list_names(names)}; expected en and {target}, source and target, or "
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
