"""Stage `corpus`: real text in the target language and the others, cleaned, deduplicated, split, on disk.

corpus/text/<lang>.parquet      columns text, split (train or heldout)
corpus/parallel.parquet         columns source, target, lang, origin (its file), split; the teacher reads `source`,
                                whose language is `lang`
corpus/stats.json               what was read, kept and dropped, per language (`hub_tools.results.CorpusResult`)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from hub_tools.core.errors import UserError
from hub_tools.core.files import read_as, replacing, write_json
from hub_tools.core.limits import Limits, limit_of
from hub_tools.core.logging import Progress, bar, log
from hub_tools.core.plain import to_plain
from hub_tools.corpus.clean import LONGEST_TEXT, hash_text
from hub_tools.corpus.contamination import EvaluationTexts, Match, by_data
from hub_tools.corpus.hashes import HashSet
from hub_tools.corpus.pairs import UNDETERMINED, HubPairs, Pair, read_pairs
from hub_tools.corpus.readers import read_table
from hub_tools.corpus.shards import TASKS, CutTask, Cutter
from hub_tools.corpus.sources import NoSuchTextError, Source
from hub_tools.results import CorpusResult, LanguageText, ParallelText, TextCounts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

T = TypeVar("T")
# One text in 50 is set aside; never trained on, it measures how near the student came to the teacher.
HELDOUT_ONE_IN = 50
# Texts of a Hub dataset: as many as the published recipe takes (arXiv 2605.29992).
HUB_LIMIT_MAIN, HUB_LIMIT_OTHER = 100_000, 10_000
# A language that is neither a target nor English has this part of what the target has, but not less than this.
OTHERS_PART, LEAST_OTHER = 10, 1000
# Texts of a language that tokenizers and speed are measured on.
_SAMPLE_TEXTS = 1000
# Rows that are written at once, twice as many after so many times, and characters after which fewer are.
_BATCH, _BATCH_TIMES, _BATCH_CHARACTERS = 8192, 4096, 2**24


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

    def unseen(self, lang: str, target: str) -> list[str]:
        """Return up to a thousand held-out texts of a language, of pairs too; no token was learned from them."""
        alone = self.texts(lang, "heldout") if lang in self.languages else ()
        is_in_pairs = self.result.parallel is not None and lang in self.result.parallel.languages
        sides = (
            pair.target if lang == target else pair.source
            for pair in (self.pairs("heldout") if is_in_pairs else ())
            if lang in (target, pair.lang)
        )
        return list(dict.fromkeys(islice(chain(alone, sides), _SAMPLE_TEXTS)))

    def all_texts(self, lang: str, targets: tuple[str, ...]) -> Iterator[str]:
        """Yield all texts to train on in a language, and for a target its side of the parallel text too."""
        if lang in self.languages:
            yield from self.texts(lang)
        if lang == targets[0]:
            yield from (pair.target for pair in self.pairs())
        elif lang in targets:
            yield from (pair.source for pair in self.pairs() if pair.lang == lang)

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
    parallel: Sequence[Path | HubPairs],
    *,
    targets: tuple[str, ...],
    languages: tuple[str, ...],
    limits: Limits,
    seed: int,
    tokenizer: Tokenizer,
    max_tokens: int,
    evaluation: EvaluationTexts | None = None,
    run: Callable[[CutTask, list[Path]], None] | None = None,
) -> CorpusResult:
    """Read, clean, split and store all text; `languages` are all codes, the targets first.

    Files of finished languages in `out` are kept. `parallel` are tables of aligned text, or datasets of the Hub, with
    columns `en` and the first target's code, or `source` and `target`. At most as many texts of a language are kept as
    `limits` says, its sources taking turns, and of each table as many pairs are read as the first target's limit is;
    without one all of a file, and `HUB_LIMIT_MAIN` of a dataset. Without limits each language but the targets and
    English gets a tenth of what each target has, `LEAST_OTHER` at least. `tokenizer` is the teacher's, without
    truncation: long texts are cut by it.
    Texts that are in `evaluation`, exactly or nearly, are dropped before any are held out, and so are pairs with one.
    `run` runs tasks that read large datasets of the Hub (`Cutter`), and changes nothing in what comes out.

    Raises:
        UserError: there is no usable text for a target language, or a source cannot be read.
    """
    splits = _Splits(seed=seed, evaluation=evaluation or EvaluationTexts([]), heldout=HashSet(out), train=HashSet(out))
    pairs = _build_parallel(out / "parallel.parquet", parallel, targets[0], limit_of(limits, targets[0]), splits)
    cut = Cutter(tokenizer=tokenizer, max_tokens=max_tokens, run=run)
    by_language: dict[str, LanguageText] = {}
    has = {lang: pairs.kept if pairs and lang in pairs.languages else 0 for lang in targets}
    with bar("reading", None, " texts") as progress:
        for number, lang in enumerate(languages, 1):
            of_language = [source for source in sources if source.lang == lang]
            most = _most_texts(lang, of_language, limits, has)
            if of_language:
                progress.set_postfix_str(f"{lang}, {number} of {len(languages)} languages", refresh=False)
                by_language[lang] = _build_language(out, of_language, most, splits, cut, progress=progress)
            if lang in has:
                has[lang] += by_language[lang].kept if lang in by_language else 0
    kept = [lang for lang, text in by_language.items() if text.kept]
    missing = [lang for lang in languages if lang not in kept]
    for lang in targets:
        if not has[lang]:
            raise _no_text(lang, by_language.get(lang))
    if missing:
        log.warning("  no text for %s; the tokenizer will not be balanced for them", ", ".join(missing))
    if not any(text.heldout for text in by_language.values()) and not (pairs and pairs.heldout):
        count = sum(text.kept for text in by_language.values())
        raise UserError(f"Too little text: {count} texts leave none to hold out. Expected some hundreds.")
    used = {name for text in by_language.values() for name in text.sources}
    revisions = {source.dataset: source.revision for source in sources if source.dataset and source.name in used}
    revisions |= {table.dataset: table.revision for table in parallel if isinstance(table, HubPairs)}
    result = CorpusResult(
        languages=kept,
        missing=missing,
        text=by_language,
        parallel=pairs,
        revisions=revisions,
        kept_out=splits.evaluation.names,
    )
    _log_contamination([*by_language.values(), *([pairs] if pairs else [])])
    write_json(out / "stats.json", to_plain(result))
    return result


def _most_texts(lang: str, sources: list[Source], limits: Limits, targets: Mapping[str, int]) -> int | None:
    """Return how many texts of a language are kept at most; `targets` are the targets and how many they have."""
    if (asked := limit_of(limits, lang)) is not None:
        return asked
    is_main = lang in (*targets, "en")
    usual = [HUB_LIMIT_MAIN if is_main else HUB_LIMIT_OTHER] if any(source.dataset for source in sources) else []
    if not limits and not is_main:
        usual.append(max(min(targets.values()) // OTHERS_PART, LEAST_OTHER))
    return min(usual, default=None)


def _no_text(lang: str, text: LanguageText | None) -> UserError:
    if text is not None and text.dropped_contaminated:
        count = f"{text.dropped_contaminated:,} of its {text.read:,} texts"
        return UserError(f"No text in {lang} is left: {count} are in the data to measure on. Give --corpus other text.")
    return UserError(f"The corpus holds no usable text in {lang}. Expected UTF-8 sentences; see --corpus.")


def _log_contamination(texts: Iterable[TextCounts]) -> None:
    found = [count for text in texts for count in text.contamination.values()]
    if found:
        exact, near = sum(count.exact for count in found), sum(count.near for count in found)
        log.info("  dropped from the training text: %d evaluation texts and %d near copies", exact, near)


@dataclass(frozen=True, kw_only=True)
class _Splits:
    """Decides which texts are held out: the hash of a text does, unless it is in the parallel text too.

    Those in the data to measure on (`evaluation`) are neither trained on nor held out.

    Hashes of 64 bits stand for texts, here and where duplicates are found: two of ten million are the same with a
    probability of 3e-6.
    """

    seed: int
    evaluation: EvaluationTexts
    heldout: HashSet  # both sides of held-out pairs; no other text or pair may hold one
    train: HashSet  # both sides of the pairs that are trained on

    def by_hash(self, text: str) -> str:
        return "heldout" if hash_text(f"{self.seed}\t{text}") % HELDOUT_ONE_IN == 0 else "train"


class _Piece(NamedTuple):
    """A part of a text of a source."""

    source: str
    number: int
    text: str


def _build_language(
    out: Path,
    sources: list[Source],
    limit: int | None,
    splits: _Splits,
    cut: Cutter,
    *,
    progress: Progress,
) -> LanguageText:
    lang, folder = sources[0].lang, out / "text"
    record = folder / f"{lang}.json"
    if record.exists():
        return read_as(LanguageText, record, f"Delete {folder} and run the same command again.")
    tally = _Tally(out)

    def rows() -> Iterator[tuple[str, str]]:
        readers = [
            _read(source, cut(source, limit, out / TASKS / f"{lang}-{number}")) for number, source in enumerate(sources)
        ]
        # In turns no source takes the place of those after it under a limit.
        texts = chain.from_iterable(readers) if limit is None else take_turns(readers)
        parts = (_Piece(source, number, text) for source, row in texts for number, text in enumerate(row))
        for (source, number, text), match in splits.evaluation.screen(parts, lambda piece: (piece.text,)):
            tally.counts["read"] += number == 0
            tally.counts["cut"] += number == 1
            if tally.keeps(source, (text,), match, is_reserved=hash_text(text) in splits.heldout):
                split = "train" if hash_text(text) in splits.train else splits.by_hash(text)
                tally.counts[split] += 1
                tally.counts["characters"] += len(text)
                progress.update()
                yield text, split

    _write(folder / f"{lang}.parquet", ("text", "split"), islice(rows(), limit))
    names = dict.fromkeys(source.name for source in sources)
    result = LanguageText(sources=[name for name in names if tally.kept[name]], **tally.result())
    write_json(record, to_plain(result))
    return result


def take_turns(readers: Iterable[Iterator[T]]) -> Iterator[T]:
    """Yield from several readers, one item of each in turns, until all are at their end."""
    readers = list(readers)
    while readers:
        for reader in list(readers):
            try:
                yield next(reader)
            except StopIteration:
                readers.remove(reader)


def _read(source: Source, rows: Iterator[Iterable[str]]) -> Iterator[tuple[str, Iterable[str]]]:
    try:
        yield from ((source.name, row) for row in rows)
    except NoSuchTextError as error:
        # Few datasets have all languages; without text for the target, `build_corpus` stops.
        log.warning("  %s", error)


class _Tally:
    """Counts what becomes of the texts of a language, or of pairs, and of those of each of their sources."""

    def __init__(self, folder: Path) -> None:
        self.counts: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()  # by source
        self._seen = HashSet(folder)
        self._matches: dict[str, Counter[Match]] = {}  # by source

    def keeps(self, source: str, texts: tuple[str, ...], match: Match | None, *, is_reserved: bool) -> bool:
        """Return whether a text, or both sides of a pair, are kept; every case is counted."""
        mark = hash_text("\t".join(texts))
        if not all(texts):
            outcome = "dropped_empty"
        elif max(map(len, texts)) > LONGEST_TEXT:
            outcome = "dropped_long"
        elif mark in self._seen:
            outcome = "dropped_duplicate"
        elif match:
            outcome = "dropped_contaminated"
            self._matches.setdefault(source, Counter())[match] += 1
        else:
            outcome = "dropped_in_heldout_pairs" if is_reserved else "kept"
        self.counts[outcome] += 1
        if outcome == "kept":
            self._seen.add(mark)
            self.kept[source] += 1
        return outcome == "kept"

    def result(self) -> dict[str, Any]:
        """Return the counts as fields of `TextCounts`; say which sources are left without text."""
        total: Counter[Match] = Counter()
        for source, matches in self._matches.items():
            total.update(matches)
            if not self.kept[source]:
                number = matches.total()
                log.warning("  %s: no text is left, because models are measured on %d of its texts", source, number)
        return {**self.counts, "contamination": by_data(total)}


def _build_parallel(
    out: Path, tables: Sequence[Path | HubPairs], target: str, limit: int | None, splits: _Splits
) -> ParallelText | None:
    """Store the aligned text, and note in `splits` what it decides for other text."""
    if not tables:
        return None

    def read(table: Path | HubPairs) -> Iterator[Pair]:
        is_endless = limit is None and isinstance(table, HubPairs)
        return read_pairs(table, target, HUB_LIMIT_MAIN if is_endless else limit)

    # A first pass finds the held-out pairs, so that none of their texts is in a pair to train on, wherever it stands.
    pairs = (pair for table in tables for pair in read(table))
    chosen = (pair for pair in pairs if splits.by_hash(pair.source) == "heldout" and not pair.is_long)
    for pair, match in splits.evaluation.screen(chosen, lambda pair: pair.sides):
        for side in () if match else pair.sides:
            splits.heldout.add(hash_text(side))
    tally = _Tally(out.parent)
    languages: set[str] = set()

    def rows() -> Iterator[tuple[str, ...]]:
        for table in tables:
            before = tally.counts["read"]
            for pair, match in splits.evaluation.screen(read(table), lambda pair: () if pair.is_long else pair.sides):
                tally.counts["read"] += 1
                split = splits.by_hash(pair.source)
                is_reserved = split == "train" and any(hash_text(side) in splits.heldout for side in pair.sides)
                if tally.keeps(str(table), pair.sides, match, is_reserved=is_reserved):
                    tally.counts[split] += 1
                    languages.add(pair.lang)
                    for side in pair.sides if split == "train" else ():
                        splits.train.add(hash_text(side))
                    yield *pair, split
            if tally.counts["read"] == before:
                raise UserError(f"--parallel {table} holds no aligned text. Expected rows with both sides filled.")

    _write(out, (*Pair._fields, "split"), rows())
    known = (*sorted(languages - {UNDETERMINED}), target)
    return ParallelText(files=[str(table) for table in tables], languages=known, **tally.result())


def _write(path: Path, columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    """Write rows of text to a parquet file that appears only when it is complete."""
    schema = pa.schema([(column, pa.string()) for column in columns])
    with replacing(path) as unfinished, pq.ParquetWriter(unfinished, schema) as file:
        for batch in _batches(rows):
            file.write_table(pa.table([list(cells) for cells in zip(*batch, strict=True)], schema=schema))


def _batches(rows: Iterator[tuple[str, ...]]) -> Iterator[list[tuple[str, ...]]]:
    """Yield lists of rows, ever longer ones: readers hold all that a file says of each at once."""
    batch, characters, number = [], 0, 0
    for row in rows:
        batch.append(row)
        characters += sum(map(len, row))
        if len(batch) == _BATCH << number // _BATCH_TIMES or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters, number = [], 0, number + 1
    if batch:
        yield batch
