"""Stage `corpus`: real text in the target language and the others, cleaned, deduplicated, split, on disk.

corpus/text/<lang>.parquet      columns text, split (train or heldout)
corpus/parallel.parquet         columns source, target, lang, origin (its file), split; the teacher reads `source`,
                                whose language is `lang`
corpus/stats.json               what was read, kept and dropped, per language (`hub_tools.results.CorpusResult`)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from hub_tools.core.errors import UserError
from hub_tools.core.files import read_as, replacing, write_json
from hub_tools.core.logging import bar, log
from hub_tools.core.plain import to_plain
from hub_tools.corpus.clean import LONGEST_TEXT, clean, hash_text, pieces
from hub_tools.corpus.hashes import HashSet
from hub_tools.corpus.readers import TRANSLATION, column_names, list_names, read_columns, read_table, text_of
from hub_tools.corpus.sources import NoSuchTextError, Source
from hub_tools.results import CorpusResult, LanguageText, ParallelText

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# One text in 50 is set aside; never trained on, it measures how near the student came to the teacher.
HELDOUT_ONE_IN = 50
# Texts of a Hub dataset: as many as the published recipe takes (arXiv 2605.29992).
HUB_LIMIT_MAIN, HUB_LIMIT_OTHER = 100_000, 10_000
# The language of text of which nobody says one, as BCP 47 names it.
_UNDETERMINED = "und"
# Texts of a language that tokenizers and speed are measured on.
_SAMPLE_TEXTS = 1000
# Rows that are written at once, and characters after which fewer are.
_BATCH, _BATCH_CHARACTERS = 8192, 2**24


class Pair(NamedTuple):
    """A text that the teacher reads, its translation into the target language, the text's language, and its file."""

    source: str
    target: str
    lang: str
    origin: str


class Corpus:
    """The text in the folder of a finished corpus stage; `languages` are those with monolingual text."""

    def __init__(self, path: Path, result: CorpusResult | None = None) -> None:
        self.path = path
        self.result: CorpusResult = result or read_as(CorpusResult, path / "stats.json")
        self.languages: tuple[str, ...] = tuple(self.result.languages)

    @classmethod
    def empty(cls) -> Self:
        """Return a corpus without any text, which has no files."""
        return cls(Path(), CorpusResult(languages=[], missing=[], text={}))

    def texts(self, lang: str, split: str = "train", limit: int | None = None) -> Iterator[str]:
        """Yield texts of a language, in the order they were read."""
        rows = read_table(self.path / "text" / f"{lang}.parquet")
        yield from islice((row["text"] for row in rows if row["split"] == split), limit)

    def sample(self, lang: str) -> list[str]:
        """Return up to a thousand texts of a language: held-out ones, and where these are few, others too."""
        texts = (text for split in ("heldout", "train") for text in self.texts(lang, split))
        return list(islice(texts, _SAMPLE_TEXTS)) if lang in self.languages else []

    def all_texts(self, lang: str, target: str) -> Iterator[str]:
        """Yield all texts to train on in a language, and for the target its side of the parallel text too."""
        if lang in self.languages:
            yield from self.texts(lang)
        if lang == target:
            yield from (pair.target for pair in self.pairs())

    def pairs(self, split: str = "train") -> Iterator[Pair]:
        """Yield aligned texts; the teacher reads the source."""
        if self.has_pairs:
            rows = (row for row in read_table(self.path / "parallel.parquet") if row["split"] == split)
            yield from (Pair(*(row[column] for column in Pair._fields)) for row in rows)

    @property
    def has_pairs(self) -> bool:
        """Whether there is any parallel text."""
        return self.result.parallel is not None and self.result.parallel.kept > 0


def build_corpus(
    out: Path,
    sources: list[Source],
    parallel: list[Path],
    *,
    languages: tuple[str, ...],
    limit: int | None,
    seed: int,
    tokenizer: Tokenizer,
    max_tokens: int,
) -> CorpusResult:
    """Read, clean, split and store all text; `languages` are all codes, the target first.

    Files of finished languages in `out` are kept. `parallel` are tables of aligned text with columns `en` and the
    target's code, or `source` and `target`. At most `limit` texts of a language are kept, its sources taking turns, and
    as many pairs of each table read. `tokenizer` is the teacher's, without truncation: long texts are cut by it.

    Raises:
        UserError: there is no usable text for the target language, or a source cannot be read.
    """
    splits = _Splits(seed=seed)
    pairs = _build_parallel(out / "parallel.parquet", parallel, languages[0], limit, splits)
    cut = partial(pieces, tokenizer=tokenizer, max_tokens=max_tokens)
    by_language: dict[str, LanguageText] = {}
    for lang in languages:
        of_language = [source for source in sources if source.lang == lang]
        hub_limit = HUB_LIMIT_MAIN if lang in (languages[0], "en") else HUB_LIMIT_OTHER
        most = limit or (hub_limit if any(source.dataset for source in of_language) else None)
        if of_language:
            by_language[lang] = _build_language(out / "text", of_language, most, splits, cut)
    kept = [lang for lang, text in by_language.items() if text.kept]
    missing = [lang for lang in languages if lang not in kept]
    if languages[0] in missing and not (pairs and pairs.kept):
        raise UserError(f"The corpus holds no usable text in {languages[0]}. Expected UTF-8 sentences; see --corpus.")
    if missing:
        log.warning("  no text for %s; the tokenizer will not be balanced for them", ", ".join(missing))
    if not any(text.heldout for text in by_language.values()) and not (pairs and pairs.heldout):
        count = sum(text.kept for text in by_language.values())
        raise UserError(f"Too little text: {count} texts leave none to hold out. Expected some hundreds.")
    used = {name for text in by_language.values() for name in text.sources}
    revisions = {source.dataset: source.revision for source in sources if source.dataset and source.name in used}
    result = CorpusResult(languages=kept, missing=missing, text=by_language, parallel=pairs, revisions=revisions)
    write_json(out / "stats.json", to_plain(result))
    return result


@dataclass(frozen=True, kw_only=True)
class _Splits:
    """Decides which texts are held out: the hash of a text does, unless it is in the parallel text too.

    Hashes of 64 bits stand for texts, here and where duplicates are found: two of ten million are the same with a
    probability of 3e-6.
    """

    seed: int
    heldout: HashSet = field(
        default_factory=HashSet
    )  # both sides of held-out pairs; no other text or pair may hold one
    train: HashSet = field(default_factory=HashSet)  # both sides of the pairs that are trained on

    def by_hash(self, text: str) -> str:
        return "heldout" if hash_text(f"{self.seed}\t{text}") % HELDOUT_ONE_IN == 0 else "train"


def _build_language(
    folder: Path, sources: list[Source], limit: int | None, splits: _Splits, cut: Callable[[str], Iterator[str]]
) -> LanguageText:
    lang = sources[0].lang
    record = folder / f"{lang}.json"
    if record.exists():
        return read_as(LanguageText, record, f"Delete {folder} and run the same command again.")
    counts: Counter[str] = Counter()
    used: set[str] = set()

    def rows() -> Iterator[tuple[str, str]]:
        seen = HashSet()
        for source, raw in _read_sources(sources, in_turns=limit is not None):
            counts["read"] += 1
            for number, text in enumerate(cut(raw)):
                counts["cut"] += number == 1
                if _is_kept((text,), seen, counts, is_reserved=hash_text(text) in splits.heldout):
                    split = "train" if hash_text(text) in splits.train else splits.by_hash(text)
                    counts[split] += 1
                    counts["characters"] += len(text)
                    used.add(source)
                    progress.update()
                    yield text, split

    with bar(lang, limit, " texts") as progress:
        _write(folder / f"{lang}.parquet", ("text", "split"), islice(rows(), limit))
    names = dict.fromkeys(source.name for source in sources)
    result = LanguageText(sources=[name for name in names if name in used], **counts)
    write_json(record, to_plain(result))
    return result


def _read_sources(sources: list[Source], *, in_turns: bool) -> Iterator[tuple[str, str]]:
    """Yield source names and texts; under a limit in turns, so that no source takes the place of those after it."""
    readers = [_read_source(source) for source in sources]
    if not in_turns:
        yield from chain.from_iterable(readers)
        return
    while readers:
        for reader in list(readers):
            if (item := next(reader, None)) is None:
                readers.remove(reader)
            else:
                yield item


def _read_source(source: Source) -> Iterator[tuple[str, str]]:
    try:
        yield from ((source.name, text) for text in source.open())
    except NoSuchTextError as error:
        # Few datasets have all languages; without text for the target, `build_corpus` stops.
        log.warning("  %s", error)


def _is_kept(texts: tuple[str, ...], seen: HashSet, counts: Counter[str], *, is_reserved: bool) -> bool:
    """Return whether a text, or both sides of a pair, are kept; every case is counted."""
    mark = hash_text("\t".join(texts))
    if not all(texts):
        outcome = "dropped_empty"
    elif _is_long(texts):
        outcome = "dropped_long"
    elif mark in seen:
        outcome = "dropped_duplicate"
    else:
        outcome = "dropped_in_heldout_pairs" if is_reserved else "kept"
    counts[outcome] += 1
    if outcome == "kept":
        seen.add(mark)
    return outcome == "kept"


def _is_long(texts: tuple[str, ...]) -> bool:
    return max(map(len, texts)) > LONGEST_TEXT


def _build_parallel(
    out: Path, files: list[Path], target: str, limit: int | None, splits: _Splits
) -> ParallelText | None:
    """Store the aligned text, and note in `splits` what it decides for other text."""
    if not files:
        return None
    # A first pass finds the held-out pairs, so that none of their texts is in a pair to train on, wherever it stands.
    for file in files:
        for pair in _read_pairs(file, target, limit):
            sides = (pair.source, pair.target)
            if splits.by_hash(pair.source) == "heldout" and not _is_long(sides):
                for side in sides:
                    splits.heldout.add(hash_text(side))
    counts: Counter[str] = Counter()
    languages: set[str] = set()

    def rows() -> Iterator[tuple[str, ...]]:
        seen = HashSet()
        for file in files:
            before = counts["read"]
            for pair in _read_pairs(file, target, limit):
                counts["read"] += 1
                split, sides = splits.by_hash(pair.source), (pair.source, pair.target)
                is_reserved = split == "train" and any(hash_text(side) in splits.heldout for side in sides)
                if _is_kept(sides, seen, counts, is_reserved=is_reserved):
                    counts[split] += 1
                    languages.add(pair.lang)
                    if split == "train":
                        for side in sides:
                            splits.train.add(hash_text(side))
                    yield *pair, split
            if counts["read"] == before:
                raise UserError(f"--parallel {file} holds no aligned text. Expected rows with both sides filled.")

    _write(out, (*Pair._fields, "split"), rows())
    known = (*sorted(languages - {_UNDETERMINED}), target)
    return ParallelText(files=[str(file) for file in files], languages=known, **counts)


def _read_pairs(file: Path, target: str, limit: int | None) -> Iterator[Pair]:
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
    known = ((("en", target), "en"), ((TRANSLATION,), "en"), (("source", "target"), _UNDETERMINED))
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


def _write(path: Path, columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    """Write rows of text to a parquet file that appears only when it is complete."""
    schema = pa.schema([(column, pa.string()) for column in columns])
    with replacing(path) as unfinished, pq.ParquetWriter(unfinished, schema) as file:
        for batch in _batches(rows):
            file.write_table(pa.table([list(cells) for cells in zip(*batch, strict=True)], schema=schema))


def _batches(rows: Iterator[tuple[str, ...]]) -> Iterator[list[tuple[str, ...]]]:
    batch, characters = [], 0
    for row in rows:
        batch.append(row)
        characters += sum(map(len, row))
        if len(batch) == _BATCH or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
