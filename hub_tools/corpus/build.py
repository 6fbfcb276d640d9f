"""Stage `corpus`: real text in the target language and the others, cleaned, deduplicated, split, on disk.

corpus/text/<lang>.parquet      columns text, split (train or heldout)
corpus/parallel.parquet         columns source, target, origin (its file), split; the teacher reads `source`
corpus/stats.json               what was read, kept and dropped, per language
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from hub_tools.core.errors import UserError
from hub_tools.core.files import read_json, write_json
from hub_tools.core.logging import bar, log
from hub_tools.corpus.readers import read_table
from hub_tools.corpus.sources import NoSuchTextError, Source

# One text in 50 is set aside; never trained on, it measures how near the student came to the teacher.
HELDOUT_ONE_IN = 50
# Texts of a Hub dataset: as many as the published recipe takes (arXiv 2605.29992).
HUB_LIMIT_MAIN, HUB_LIMIT_OTHER = 100_000, 10_000
_SENTENCE_ENDS = ".!?。！？؟।…\n"
_BATCH = 8192


class Encoder(Protocol):
    """The one thing chunking asks of a tokenizer."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Any:
        """Encode one text; the result has `offsets`."""


class Pair(NamedTuple):
    """A text in the language that the teacher reads, its translation into the target, and the file they stood in."""

    source: str
    target: str
    origin: str


class Corpus:
    """A finished corpus stage."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stats: dict[str, Any] = read_json(path / "stats.json")
        self.languages: tuple[str, ...] = tuple(self.stats["languages"])

    def texts(self, lang: str, split: str = "train", limit: int | None = None) -> Iterator[str]:
        """Texts of a language, in the order they were read."""
        rows = read_table(self.path / "text" / f"{lang}.parquet")
        yield from islice((row["text"] for row in rows if row["split"] == split), limit)

    def all_texts(self, lang: str, target: str) -> Iterator[str]:
        """Everything to train on in a language: texts, and for the target its side of the parallel text too."""
        if lang in self.languages:
            yield from self.texts(lang)
        if lang == target:
            yield from (pair.target for pair in self.pairs())

    def pairs(self, split: str = "train") -> Iterator[Pair]:
        """Aligned texts; the teacher reads the source."""
        file = self.path / "parallel.parquet"
        if file.exists():
            rows = (row for row in read_table(file) if row["split"] == split)
            yield from (Pair(row["source"], row["target"], row["origin"]) for row in rows)

    @property
    def has_pairs(self) -> bool:
        """Whether there is any parallel text."""
        return bool(self.stats["parallel"].get("kept"))


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
) -> dict[str, Any]:
    """Read, clean, split and store all text.

    Args:
        out: folder of the stage; files of finished languages in it are kept.
        sources: what to read.
        parallel: tables of aligned text with columns `en` and the target's code, or `source` and `target`.
        languages: all codes, the target first.
        limit: at most this many texts per language and pairs per parallel file.
        seed: of the held-out split.
        tokenizer: the teacher's, without truncation, to cut long texts.
        max_tokens: longest text in the teacher's tokens.

    Returns:
        The statistics, also written to stats.json.

    Raises:
        UserError: there is no usable text for the target language, or a source cannot be read.
    """
    pair_stats, reserved = _build_parallel(out, parallel, languages[0], limit, seed)

    def split_of(text: str) -> str:
        return reserved.split_of(text, seed)

    def chunk(text: str) -> Iterator[str]:
        return chunks(text, tokenizer, max_tokens)

    by_language: dict[str, Any] = {}
    for lang in languages:
        own = [source for source in sources if source.lang == lang]
        if own:
            most = limit or _default_limit(lang, languages, own)
            by_language[lang] = _build_language(out / "text", own, most, split_of, chunk)
    kept = [lang for lang, stats in by_language.items() if stats["kept"]]
    missing = [lang for lang in languages if lang not in kept]
    if languages[0] in missing and not pair_stats.get("kept"):
        raise UserError(f"The corpus holds no usable text in {languages[0]}. Expected UTF-8 sentences; see --corpus.")
    if missing:
        log.warning("  no text for %s; the tokenizer will not be balanced for them", ", ".join(missing))
    stats = {
        "languages": kept,
        "missing": missing,
        "text": by_language,
        "parallel": pair_stats,
        "revisions": {source.dataset: source.revision for source in sources if source.dataset},
    }
    if not any(s.get("heldout") for s in (*by_language.values(), pair_stats)):
        count = sum(s["kept"] for s in by_language.values())
        raise UserError(f"Too little text: {count} texts leave none to hold out. Expected some hundreds.")
    write_json(out / "stats.json", stats)
    return stats


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
) -> dict[str, Any]:
    lang = sources[0].lang
    record = folder / f"{lang}.json"
    if record.exists():
        return dict(read_json(record))
    counts: Counter[str] = Counter()
    seen: set[bytes] = set()
    with _writer(folder / f"{lang}.parquet", ("text", "split")) as write, bar(lang, limit, " texts") as progress:
        for raw in _raw_texts(sources, counts):
            for text in chunk(clean(raw)):
                split = _admit(text, seen, split_of, counts)
                if split:
                    write((text, split))
                    progress.update()
                if counts["kept"] == limit:
                    break
            if counts["kept"] == limit:
                break
    stats = {"sources": [source.name for source in sources], **counts}
    stats.setdefault("kept", 0)
    write_json(record, stats)
    return stats


def _raw_texts(sources: list[Source], counts: Counter[str]) -> Iterator[str]:
    for source in sources:
        try:
            for text in source.open():
                counts["read"] += 1
                yield text
        except NoSuchTextError as error:
            # Few datasets have all languages; without text for the target, `build_corpus` stops.
            log.warning("  %s", error)


def _admit(text: str, seen: set[bytes], split_of: Callable[[str], str], counts: Counter[str]) -> str:
    """The split of a text that is kept, or nothing; every case is counted."""
    if not text:
        counts["dropped_empty"] += 1
        return ""
    mark = _mark(text)
    if mark in seen:
        counts["dropped_duplicate"] += 1
        return ""
    split = split_of(text)
    if split == "reserved":
        counts["dropped_in_heldout_pairs"] += 1
        return ""
    seen.add(mark)
    counts["kept"] += 1
    counts[split] += 1
    counts["characters"] += len(text)
    return split


@dataclass(frozen=True, kw_only=True)
class _Reserved:
    """What the parallel text decides about the split of single texts.

    Attributes:
        heldout: both sides of the held-out pairs; no other text or pair may hold one of them.
        train: marks of both sides of the pairs that are trained on.
    """

    heldout: set[str]
    train: set[bytes]

    def split_of(self, text: str, seed: int) -> str:
        """The split of a monolingual text: train, heldout, or reserved for the held-out pairs."""
        if text in self.heldout:
            return "reserved"
        return "train" if _mark(text) in self.train else _split_of(text, seed)


def _build_parallel(
    out: Path, files: list[Path], target: str, limit: int | None, seed: int
) -> tuple[dict[str, Any], _Reserved]:
    """Store the aligned text; returns its statistics and what it decides for single texts."""
    counts: Counter[str] = Counter()
    reserved = _Reserved(heldout=set(), train=set())
    if not files:
        return {}, reserved
    # A first pass finds the held-out pairs, so that none of their texts is in a pair to train on, wherever it stands.
    for file in files:
        for source, translation in _read_pairs(file, target, limit):
            if _split_of(source, seed) == "heldout":
                reserved.heldout.update((source, translation))
    seen: set[bytes] = set()
    with _writer(out / "parallel.parquet", ("source", "target", "origin", "split")) as write:
        for file in files:
            before = counts["read"]
            for pair in _read_pairs(file, target, limit):
                counts["read"] += 1
                split = _split_of(pair[0], seed)
                if _admit_pair(pair, split, seen, reserved, counts):
                    write((*pair, file.name, split))
            if counts["read"] == before:
                raise UserError(f"--parallel {file} holds no aligned text. Expected rows with both sides filled.")
    return {"files": [str(file) for file in files], **counts}, reserved


def _admit_pair(pair: tuple[str, str], split: str, seen: set[bytes], reserved: _Reserved, counts: Counter[str]) -> bool:
    """Whether a pair is kept; every case is counted."""
    mark = _mark("\t".join(pair))
    if not all(pair):
        counts["dropped_empty"] += 1
    elif mark in seen:
        counts["dropped_duplicate"] += 1
    elif split == "train" and not reserved.heldout.isdisjoint(pair):
        counts["dropped_in_heldout_pairs"] += 1
    else:
        seen.add(mark)
        if split == "train":
            reserved.train.update(map(_mark, pair))
        counts.update(("kept", split))
        return True
    return False


def _read_pairs(file: Path, target: str, limit: int | None) -> Iterator[tuple[str, str]]:
    for row in islice(read_table(file), limit):
        source, translation = (clean(str(row[column] or "")) for column in _pair_columns(file, row, target))
        yield source, translation


def _pair_columns(file: Path, row: dict[str, Any], target: str) -> tuple[str, str]:
    # Language codes first: a column `source` often says where a pair was found.
    for columns in (("en", target), ("source", "target")):
        if all(column in row for column in columns):
            return columns
    raise UserError(
        f"--parallel {file} has the columns {', '.join(map(str, row))}; expected en and {target}, or source and target."
    )


def clean(text: str) -> str:
    """NFC, white space folded to single spaces, ends trimmed; lone surrogates become question marks."""
    text = text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
    return " ".join(unicodedata.normalize("NFC", text).split())


def chunks(text: str, tokenizer: Encoder, max_tokens: int) -> Iterator[str]:
    """Cut a text into pieces of at most `max_tokens` tokens, at the last sentence end or space before.

    An empty text is one (empty) piece, so that it can be counted.
    """
    # No family makes more than a handful of tokens of one character; short texts need no encoding.
    if len(text) * 4 <= max_tokens:
        yield text
        return
    room = max(max_tokens - 2, 1)  # the template's first and last token
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    start = 0
    while len(offsets) > room:
        limit = offsets[room][0]
        cut = _cut_before(text, start, limit)
        yield text[start:cut].strip()
        start = cut
        offsets = [o for o in offsets[: room + 1] if o[0] >= cut] + offsets[room + 1 :]
    if rest := text[start:].strip():
        yield rest
    elif not text:
        yield ""


def _cut_before(text: str, start: int, limit: int) -> int:
    middle = (start + limit) // 2  # a piece shorter than half the room is not worth a clean end
    for marks in (_SENTENCE_ENDS, " "):
        best = max(text.rfind(mark, middle, limit) for mark in marks)
        if best >= 0:
            return best + 1
    return max(limit, start + 1)


def _split_of(text: str, seed: int) -> str:
    value = int.from_bytes(hashlib.blake2b(f"{seed}\t{text}".encode(), digest_size=8).digest())
    return "heldout" if value % HELDOUT_ONE_IN == 0 else "train"


def _mark(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


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
