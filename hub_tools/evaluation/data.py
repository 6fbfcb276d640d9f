"""Data sets to measure on, in files of the user's; docs/evaluation.md shows their formats.

Of a table with a column `lang` the rows in one language count, of one with columns named by languages that of the
language. Of a column `split` the rows of `test` count; where there is none, all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hub_tools.core.errors import UserError
from hub_tools.core.files import user_path
from hub_tools.corpus.readers import TABLES, TRANSLATION, column_names, find_files, list_names, read_columns, text_of

# What is held in memory and encoded by three models: far more than most data to measure on has.
_MOST_ROWS, _MOST_CHARACTERS = 1_000_000, 200_000_000
_QUERIES, _PASSAGES, _QRELS = r"quer(y|ies)|questions?", r"corpus|passages?|contexts?|documents?", r"qrels?"
_QUERY_IDS = ("_id", "id", "question_id", "query_id", "query-id")
_REFERENCES = ("context_id", "passage_id", "document_id", "corpus-id")  # to passages
_PASSAGE_IDS = (*_REFERENCES, "_id", "id")
# Labels of pairs that say the same; all others say that they do not.
_SAME = frozenset({"1", "1.0", "true", "entailment", "paraphrase", "duplicate"})


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Pairs of sentences, and how alike people found them."""

    first: list[str]
    second: list[str]
    scores: list[float]


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Queries, passages, and the passages that answer each query."""

    queries: list[str]
    passages: list[str]
    relevant: list[dict[int, float]]  # of each query: number of a passage -> how good it is, above 0


@dataclass(frozen=True, kw_only=True)
class Bitext:
    """Sentences and their translations; the same place is the same sentence."""

    source: list[str]
    target: list[str]
    languages: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of texts, and whether the second says what the first says."""

    first: list[str]
    second: list[str]
    same: list[bool]


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Texts with labels: some to learn from, and others to try that on."""

    train: list[str]
    train_labels: list[str]
    test: list[str]
    test_labels: list[str]


@dataclass(frozen=True, kw_only=True)
class Clustering:
    """Texts, and the group that each belongs to."""

    texts: list[str]
    labels: list[str]


Data = Similarity | Retrieval | Bitext | Pairs | Classification | Clustering


def has_parts(spec: str) -> bool:
    """Return whether a data set says by a column `split` which of its rows are its test part."""
    file = user_path(spec)
    return file.is_file() and "split" in column_names(file)


class TableRow(NamedTuple):
    """A row of a table: where it stands, for messages, its part of the data, and the columns that were asked for."""

    where: str
    split: str
    columns: tuple[str, ...]
    cells: tuple[Any, ...]


def read_similarity(spec: str, lang: str, *, option: str = "--sts", split: str = "test") -> Similarity:
    """Read a table with columns sentence1, sentence2 and score; errors, as of all readers here, name the option.

    `split` is the part of the data that counts, where a column says of which part a row is.
    """
    columns = (("sentence1",), ("sentence2",), ("score",))
    rows = part_of(read_rows(option, one_file(option, spec), lang, *columns), split)
    scores = [_number(row.cells[2], row.where) for row in rows]
    if len(rows) <= 1:  # a correlation needs two points
        raise UserError(f"{option} {spec} holds {len(rows)} pairs. Expected at least two.")
    return Similarity(first=texts_in(rows, 0), second=texts_in(rows, 1), scores=scores)


def read_pairs(spec: str, lang: str) -> Pairs:
    """Read a table with two columns of texts and a label, 1 or `entailment` for pairs that say the same."""
    option = "--pairs"
    columns = (("sentence1", "premise", "text1"), ("sentence2", "hypothesis", "text2"), ("label", "labels"))
    rows = part_of(read_rows(option, one_file(option, spec), lang, *columns))
    same = [label in _SAME for label in labels_in(rows, 2)]
    if len(set(same)) == 1:
        raise UserError(f"{option} {spec}: all labels say the same. Expected 1 and 0, or entailment and others.")
    return Pairs(first=texts_in(rows, 0), second=texts_in(rows, 1), same=same)


def read_bitext(spec: str, lang: str) -> Bitext:
    """Read a table with English in a column `en` and its translation in one named by the language.

    `source` and `target`, or a column `translation` of objects with both languages, will do too.
    """
    option = "--bitext"
    file = one_file(option, spec)
    names = column_names(file)
    if TRANSLATION in names:
        rows = read_rows(option, file, lang, (TRANSLATION,))
        sides = [[text_of(row.cells[0], row.where, side) for row in rows] for side in ("en", lang)]
        return Bitext(source=sides[0], target=sides[1], languages=("en", lang))
    is_named = lang in names or "text" in names
    columns, languages = (
        ((("en",), (lang, "text")), ("en", lang)) if is_named else ((("source",), ("target",)), ("source", lang))
    )
    rows = part_of(read_rows(option, file, lang, *columns))
    return Bitext(source=texts_in(rows, 0), target=texts_in(rows, 1), languages=languages)


def read_classification(spec: str, lang: str) -> Classification:
    """Read a table with columns text, label and split (train, test), or two tables TRAIN,TEST with text and label."""
    option = "--classification"
    columns = (("text", "sentence", lang), ("label", "labels"))
    first, comma, second = spec.partition(",")
    if comma and not user_path(spec).exists():
        train, test = (read_rows(option, one_file(option, part), lang, *columns) for part in (first, second))
    else:
        rows = read_rows(option, one_file(option, spec), lang, *columns)
        train, test = ([row for row in rows if row.split == split] for split in ("train", "test"))
    if not test or len(set(labels_in(train, 1))) <= 1:
        raise UserError(
            f"{option} {spec}: expected texts with two labels at least to learn from and texts to try them on, by a "
            "column split (train, test) or as two files TRAIN,TEST."
        )
    return Classification(
        train=texts_in(train, 0),
        train_labels=labels_in(train, 1),
        test=texts_in(test, 0),
        test_labels=labels_in(test, 1),
    )


def read_clustering(spec: str, lang: str) -> Clustering:
    """Read a table with columns text and label."""
    option = "--clustering"
    rows = part_of(read_rows(option, one_file(option, spec), lang, ("text", "sentence", lang), ("label", "labels")))
    if len(set(labels_in(rows, 1))) <= 1:
        raise UserError(f"{option} {spec}: expected two groups at least, by the column label.")
    return Clustering(texts=texts_in(rows, 0), labels=labels_in(rows, 1))


def read_retrieval(spec: str, lang: str, *, option: str = "--retrieval", split: str = "test") -> Retrieval:
    """Read queries and passages, in two tables QUERIES,PASSAGES or, with QRELS, in three; or a folder with them.

    Without QRELS each query names its passage in a column context_id, passage_id or document_id. QRELS has columns
    query-id, corpus-id and score. A title stands before its passage, as in BEIR. Passages with the same text are one.
    """
    queries_file, passages_file, qrels_file = _retrieval_files(option, spec)
    titles = [("title",)] if "title" in column_names(passages_file) else []
    passages = read_rows(option, passages_file, lang, _PASSAGE_IDS, ("text", "passage", "document", lang), *titles)
    number: dict[str, int] = {}
    texts: dict[str, int] = {}
    for row in passages:
        text = " ".join(filter(None, (cell_text(row, 2) if titles else "", cell_text(row, 1))))
        number[str(row.cells[0])] = texts.setdefault(text, len(texts))
    wanted = ("text", "question", "query", lang)
    if qrels_file is None:
        rows = part_of(read_rows(option, queries_file, lang, wanted, _REFERENCES), split)
        relevant = [{_passage(number, row.cells[1], row.where): 1.0} for row in rows]
        return Retrieval(queries=texts_in(rows, 0), passages=list(texts), relevant=relevant)
    answers: dict[str, dict[int, float]] = {}
    for row in read_rows(option, qrels_file, lang, ("query-id", "query_id"), ("corpus-id", "corpus_id"), ("score",)):
        if (gain := _number(row.cells[2], row.where)) > 0:
            answers.setdefault(str(row.cells[0]), {})[_passage(number, row.cells[1], row.where)] = gain
    rows = [row for row in read_rows(option, queries_file, lang, wanted, _QUERY_IDS) if str(row.cells[1]) in answers]
    if not rows:
        raise UserError(f"{option} {spec}: no query has an answer in {qrels_file}. Expected its id in query-id.")
    return Retrieval(
        queries=texts_in(rows, 0), passages=list(texts), relevant=[answers[str(row.cells[1])] for row in rows]
    )


def _retrieval_files(option: str, spec: str) -> tuple[Path, Path, Path | None]:
    expected = "Expected QUERIES,PASSAGES or QUERIES,PASSAGES,QRELS, or a folder with queries, corpus and qrels."
    if user_path(spec).is_dir():
        files = find_files(option, spec, TABLES)
        chosen = [_named(files, spec, pattern) for pattern in (_QUERIES, _PASSAGES, _QRELS)]
    else:
        chosen = [one_file(option, part) for part in spec.split(",")]
    queries, passages, qrels = (*chosen, None, None, None)[:3]
    if queries is None or passages is None or chosen[3:]:
        raise UserError(f"{option} {spec}: {len(list(filter(None, chosen)))} files of these. {expected}")
    return queries, passages, qrels


def _named(files: Sequence[Path], folder: str, pattern: str) -> Path | None:
    """Return the file of a folder that is named by a pattern, of several the one of the test part."""
    below = [(file, file.relative_to(user_path(folder)).as_posix()) for file in files]
    found = [(file, name) for file, name in below if re.search(rf"(^|[-_/.])({pattern})([-_/.])", name)]
    tests = [file for file, name in found if "test" in name]
    return next(iter(tests or [file for file, _ in found]), None)


def one_file(option: str, spec: str) -> Path:
    """Return the one file that a value names; a UserError says that there is none, or that there are several."""
    files = find_files(option, spec, TABLES)
    if len(files) > 1:
        raise UserError(f"{option} {spec}: {len(files)} files. Give the option once for each, with its own name.")
    return files[0]


def read_rows(option: str, file: Path, lang: str, *columns: Iterable[str]) -> list[TableRow]:
    """Return the rows in a language, with the first that there is of each sort of column.

    Raises:
        UserError: a column is missing, the file is damaged, or there are too many rows or none.
    """
    names = column_names(file)
    found = [next((name for name in sort if name in names), None) for sort in columns]
    if missing := [" or ".join(dict.fromkeys(sort)) for sort, name in zip(columns, found, strict=True) if name is None]:
        raise UserError(
            f"{option} {file} has the columns {list_names(names)}; no {', '.join(missing)}. docs/evaluation.md shows "
            "what is expected."
        )
    columns_found = tuple(map(str, found))
    extra = [name for name in ("lang", "split") if name in names]
    rows, characters = [], 0
    for where, cells in read_columns(file, [*columns_found, *extra]):
        more = dict(zip(extra, cells[len(found) :], strict=True))
        if more.get("lang", lang) != lang:
            continue
        rows.append(TableRow(f"{option} {where}", str(more.get("split") or ""), columns_found, cells[: len(found)]))
        characters += sum(len(cell) for cell in cells if isinstance(cell, str))
        if len(rows) > _MOST_ROWS or characters > _MOST_CHARACTERS:
            raise UserError(
                f"{option} {file} holds more than {_MOST_ROWS:,} rows or {_MOST_CHARACTERS:,} characters. Expected "
                "data to measure on; take a part of it."
            )
    if not rows:
        raise UserError(f"{option} {file} holds no rows{f' in {lang}' if 'lang' in names else ''}.")
    return rows


def part_of(rows: list[TableRow], split: str = "test") -> list[TableRow]:
    """Return the rows of a part of the data; all of them where none says that it is of this part."""
    return [row for row in rows if row.split == split] or rows


def texts_in(rows: Iterable[TableRow], place: int) -> list[str]:
    """Return the texts in a column, by its place among those that were asked for; a UserError names an empty one."""
    texts = []
    for row in rows:
        texts.append(cell_text(row, place))
        if not texts[-1]:
            raise UserError(f"{row.where}: no {row.columns[place]}. Expected a text in each row.")
    return texts


def texts_in_or_empty(rows: Iterable[TableRow], place: int) -> list[str]:
    """Return the texts in a column of which some cells may be empty."""
    return [cell_text(row, place) for row in rows]


def cell_text(row: TableRow, place: int) -> str:
    """Return the text of a cell, "" where there is none; a UserError names one that is no text."""
    text = text_of(row.cells[place], f"{row.where}: {row.columns[place]!r}")
    # JSON can hold halves of characters; no tokenizer takes them.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def labels_in(rows: Iterable[TableRow], place: int) -> list[str]:
    """Return the labels in a column, without case and spaces around them."""
    return [str(row.cells[place]).strip().lower() for row in rows]


def _number(cell: Any, where: str) -> float:
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or isinstance(cell, bool):
        raise UserError(f"{where}: score {ascii(cell)[:80]} is no number. Expected one such as 3.5.")
    return number


def _passage(number: dict[str, int], cell: Any, where: str) -> int:
    if str(cell) not in number:
        raise UserError(f"{where}: there is no passage with the id {ascii(cell)[:80]}.")
    return number[str(cell)]
