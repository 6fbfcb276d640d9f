"""Stage `corpus`: real text in the target language and the others, cleaned, deduplicated, split, on disk.

corpus/text/<lang>.parquet      columns text, split (train or heldout)
corpus/parallel.parquet         columns source, target, lang, origin (its file), split; the teacher reads `source`,
                                whose language is `lang`
corpus/stats.json               what was read, kept and dropped, per language (`hub_tools.results.CorpusResult`)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from hub_tools.core.errors import UserError
from hub_tools.core.files import read_json, write_json
from hub_tools.core.logging import bar, log
from hub_tools.core.plain import from_plain, to_plain
from hub_tools.corpus.clean import Encoder, chunks, clean
from hub_tools.corpus.readers import read_table
from hub_tools.corpus.sources import NoSuchTextError, Source
from hub_tools.corpus.text_set import TextSet, hash_text
from hub_tools.results import CorpusResult, LanguageText, ParallelText

# One text in 50 is set aside; never trained on, it measures how near the student came to the teacher.
HELDOUT_ONE_IN = 50
# Texts of a Hub dataset: as many as the published recipe takes (arXiv 2605.29992).
HUB_LIMIT_MAIN, HUB_LIMIT_OTHER = 100_000, 10_000
# The language of text of which nobody says one, as BCP 47 names it.
UNDETERMINED = "und"
# Texts of a language that tokenizers and speed are measured on.
_SAMPLE_TEXTS = 1000
_BATCH = 8192


class Pair(NamedTuple):
    """A text that the teacher reads, its translation into the target language, the text's language, and its file."""

    source: str
    target: str
    lang: str
    origin: str


class Corpus:
    """A finished corpus stage.

    Args:
        path: its folder.
        result: what stats.json in it holds; None: it is read.

    Attributes:
        result: what was read, kept and dropped.
        languages: those with monolingual text.
    """

    def __init__(self, path: Path, result: CorpusResult | None = None) -> None:
        self.path = path
        self.result: CorpusResult = result or from_plain(CorpusResult, read_json(path / "stats.json"))
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
    tokenizer: Encoder,
    max_tokens: int,
) -> CorpusResult:
    """Read, clean, split and store all text.

    Args:
        out: folder of the stage; files of finished languages in it are kept.
        sources: what to read. Where a limit applies, the sources of a language take turns.
        parallel: tables of aligned text with columns `en` and the target's code, or `source` and `target`.
        languages: all codes, the target first.
        limit: at most this many texts per language and pairs per parallel file.
        seed: of the held-out split.
        tokenizer: the teacher's, without truncation, to cut long texts.
        max_tokens: longest text in the teacher's tokens.

    Returns:
        What was read, kept and dropped, also written to stats.json.

    Raises:
        UserError: there is no usable text for the target language, or a source cannot be read.
    """
    pairs, reserved = _build_parallel(out, parallel, languages[0], limit, seed)

    def split_of(text: str) -> str:
        return reserved.split_of(text, seed)

    def chunk(text: str) -> Iterator[str]:
        return chunks(text, tokenizer, max_tokens)

    by_language: dict[str, LanguageText] = {}
    for lang in languages:
        own = [source for source in sources if source.lang == lang]
        if own:
            most = limit or _default_limit(lang, languages, own)
            by_language[lang] = _build_language(out / "text", own, most, split_of, chunk)
    kept = [lang for lang, text in by_language.items() if text.kept]
    missing = [lang for lang in languages if lang not in kept]
    if languages[0] in missing and not (pairs and pairs.kept):
        raise UserError(f"The corpus holds no usable text in {languages[0]}. Expected UTF-8 sentences; see --corpus.")
    if missing:
        log.warning("  no text for %s; the tokenizer will not be balanced for them", ", ".join(missing))
    if not any(text.heldout for text in by_language.values()) and not (pairs and pairs.heldout):
        count = sum(text.kept for text in by_language.values())
        raise UserError(f"Too little text: {count} texts leave none to hold out. Expected some hundreds.")
    result = CorpusResult(
        languages=kept,
        missing=missing,
        text=by_language,
        parallel=pairs,
        revisions={source.dataset: source.revision for source in sources if source.dataset},
    )
    write_json(out / "stats.json", to_plain(result))
    return result


def _default_limit(lang: str, languages: tuple[str, ...], sources: list[Source]) -> int | None:
    if not any(source.dataset for source in sources):
        return None
    return HUB_LIMIT_MAIN if lang in (languages[0], "en") else HUB_LIMIT_OTHER


def _build_language(
    folder: Path,
    sources: list[Source],
    limit: int | None,
    split_of: Callable[[str], str],
    chunk: Callable[[str], Iterator[str]],
) -> LanguageText:
    lang = sources[0].lang
    record = folder / f"{lang}.json"
    if record.exists():
        return from_plain(LanguageText, read_json(record))
    counts: Counter[str] = Counter()
    used: set[str] = set()
    seen = TextSet()
    with _writer(folder / f"{lang}.parquet", ("text", "split")) as write, bar(lang, limit, " texts") as progress:
        for source, raw in _read_sources(sources, in_turns=limit is not None):
            counts["read"] += 1
            for text in chunk(clean(raw)):
                split = _admit(text, seen, split_of, counts)
                if split:
                    write((text, split))
                    used.add(source)
                    progress.update()
                if counts["kept"] == limit:
                    break
            if counts["kept"] == limit:
                break
    names = dict.fromkeys(source.name for source in sources)
    result = LanguageText(sources=[name for name in names if name in used], **counts)
    write_json(record, to_plain(result))
    return result


def _read_sources(sources: list[Source], *, in_turns: bool) -> Iterator[tuple[str, str]]:
    """Yield source names and their texts, one source after the other or one text of each in turns.

    Under a limit, turns see to it that no source takes the place of those after it.
    """
    readers = [_read_source(source) for source in sources]
    if not in_turns:
        yield from chain.from_iterable(readers)
        return
    while readers:
        for reader in list(readers):
            item = next(reader, None)
            if item is None:
                readers.remove(reader)
            else:
                yield item


def _read_source(source: Source) -> Iterator[tuple[str, str]]:
    try:
        yield from ((source.name, text) for text in source.open())
    except NoSuchTextError as error:
        # Few datasets have all languages; without text for the target, `build_corpus` stops.
        log.warning("  %s", error)


def _admit(text: str, seen: TextSet, split_of: Callable[[str], str], counts: Counter[str]) -> str:
    """Return the split of a text that is kept, or nothing; every case is counted."""
    if not text:
        counts["dropped_empty"] += 1
        return ""
    if text in seen:
        counts["dropped_duplicate"] += 1
        return ""
    split = split_of(text)
    if split == "reserved":
        counts["dropped_in_heldout_pairs"] += 1
        return ""
    seen.add(text)
    counts["kept"] += 1
    counts[split] += 1
    counts["characters"] += len(text)
    return split


@dataclass(frozen=True, kw_only=True)
class _Reserved:
    """What the parallel text decides about the split of single texts.

    Attributes:
        heldout: both sides of the held-out pairs; no other text or pair may hold one of them.
        train: both sides of the pairs that are trained on.
    """

    heldout: set[str] = field(default_factory=set)
    train: TextSet = field(default_factory=TextSet)

    def split_of(self, text: str, seed: int) -> str:
        """Return the split of a monolingual text: train, heldout, or reserved for the held-out pairs."""
        if text in self.heldout:
            return "reserved"
        return "train" if text in self.train else _split_of(text, seed)


def _build_parallel(
    out: Path, files: list[Path], target: str, limit: int | None, seed: int
) -> tuple[ParallelText | None, _Reserved]:
    """Store the aligned text; returns its statistics and what it decides for single texts."""
    counts: Counter[str] = Counter()
    reserved = _Reserved()
    if not files:
        return None, reserved
    # A first pass finds the held-out pairs, so that none of their texts is in a pair to train on, wherever it stands.
    for file in files:
        for pair in _read_pairs(file, target, limit):
            if _split_of(pair.source, seed) == "heldout":
                reserved.heldout.update((pair.source, pair.target))
    seen = TextSet()
    languages: set[str] = set()
    with _writer(out / "parallel.parquet", (*Pair._fields, "split")) as write:
        for file in files:
            before = counts["read"]
            for pair in _read_pairs(file, target, limit):
                counts["read"] += 1
                split = _split_of(pair.source, seed)
                if _admit_pair(pair, split, seen, reserved, counts):
                    languages.add(pair.lang)
                    write((*pair, split))
            if counts["read"] == before:
                raise UserError(f"--parallel {file} holds no aligned text. Expected rows with both sides filled.")
    known = (*sorted(languages - {UNDETERMINED}), target)
    return ParallelText(files=[str(file) for file in files], languages=known, **counts), reserved


def _admit_pair(pair: Pair, split: str, seen: TextSet, reserved: _Reserved, counts: Counter[str]) -> bool:
    """Return whether a pair is kept; every case is counted."""
    both = f"{pair.source}\t{pair.target}"
    if not (pair.source and pair.target):
        counts["dropped_empty"] += 1
    elif both in seen:
        counts["dropped_duplicate"] += 1
    elif split == "train" and not reserved.heldout.isdisjoint((pair.source, pair.target)):
        counts["dropped_in_heldout_pairs"] += 1
    else:
        seen.add(both)
        if split == "train":
            reserved.train.add(pair.source)
            reserved.train.add(pair.target)
        counts.update(("kept", split))
        return True
    return False


def _read_pairs(file: Path, target: str, limit: int | None) -> Iterator[Pair]:
    for row in islice(read_table(file), limit):
        columns, lang = _pair_columns(file, row, target)
        source, translation = (clean(str(row[column] or "")) for column in columns)
        yield Pair(source, translation, lang, file.name)


def _pair_columns(file: Path, row: dict[str, Any], target: str) -> tuple[tuple[str, str], str]:
    """Return the columns of both sides, and the language of the first: a column `source` may hold any."""
    # Language codes first: a column `source` often says where a pair was found.
    for columns, lang in ((("en", target), "en"), (("source", "target"), UNDETERMINED)):
        if all(column in row for column in columns):
            return columns, lang
    raise UserError(
        f"--parallel {file} has the columns {', '.join(map(str, row))}; expected en and {target}, or source and target."
    )


def _split_of(text: str, seed: int) -> str:
    return "heldout" if hash_text(f"{seed}\t{text}") % HELDOUT_ONE_IN == 0 else "train"


@contextmanager
def _writer(path: Path, columns: tuple[str, ...]) -> Iterator[Callable[[tuple[str, ...]], None]]:
    """Write rows of text to a parquet file that appears only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    rows: list[tuple[str, ...]] = []
    schema = pa.schema([(column, pa.string()) for column in columns])

    with pq.ParquetWriter(partial, schema) as file:

        def flush() -> None:
            file.write_table(pa.table([list(c) for c in zip(*rows, strict=True)] or [[]] * len(columns), schema=schema))
            rows.clear()

        def write(row: tuple[str, ...]) -> None:
            rows.append(row)
            if len(rows) >= _BATCH:
                flush()

        yield write
        flush()
    partial.replace(path)
