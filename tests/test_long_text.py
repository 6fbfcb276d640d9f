"""Long lines and files that unpack to gigabytes: in time that grows with their length, and in little memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_tools.core.errors import UserError
from hub_tools.corpus import hashes
from hub_tools.corpus.build import Corpus, build_corpus
from hub_tools.corpus.clean import LONGEST_TEXT, clean, hash_text, pieces
from hub_tools.corpus.hashes import HashSet
from hub_tools.corpus.lines import LONGEST_LINE
from hub_tools.corpus.parquet import parquet_rows
from hub_tools.corpus.readers import read_texts
from hub_tools.corpus.sources import Source
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

GIB = 2**30
# What a process that reads a file takes at most; ru_maxrss would count what its parent took, too.
PEAK = """
import re, sys
from pathlib import Path
from hub_tools.core.errors import HubToolsError
from hub_tools.corpus.readers import read_columns, read_texts
from hub_tools.evaluation.data import read_similarity
file, characters, outcome = Path(sys.argv[1]), 0, ""
try:
    if "sts" in file.name:
        read_similarity(str(file), "tr")
    for text in read_texts(file, "tr"):
        characters += len(text)
        if characters > 2**30:
            break
except HubToolsError as error:
    outcome = str(error)
kilobytes = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(int(kilobytes) * 1024, characters, outcome)
"""


def sentences(characters: int, start: int = 0) -> str:
    text, number = [], start
    while characters > 0:
        text.append(f"Bu {number} numaralı cümledir, kedi ve köpek {number * 7 % 1000} kuş gördü.")
        characters -= len(text[-1]) + 1
        number += 1
    return " ".join(text)


def corpus_of(tmp_path: Path, files: TokenizerSpec, texts: list[str], parallel: list[Path]) -> Corpus:
    source = Source(lang="tr", name="own", identity=0, open=lambda: iter(texts))
    build_corpus(
        tmp_path / "corpus",
        [source],
        parallel,
        targets=("tr",),
        languages=("tr",),
        limits={},
        seed=1,
        tokenizer=files.load(),
        max_tokens=64,
    )
    return Corpus(tmp_path / "corpus")


def test_the_time_of_a_long_line_grows_with_its_length(minilm_files: TokenizerSpec) -> None:
    tokenizer = minilm_files.load()

    def seconds(characters: int) -> float:
        text, before = sentences(characters), time.process_time()
        found = list(pieces(text, tokenizer, 64))
        assert " ".join(found) == text
        return time.process_time() - before

    seconds(50_000)
    assert seconds(1_600_000) < 9 * seconds(400_000)  # 16 times as long where it grows with the square


@pytest.mark.slow
def test_a_line_of_fifty_megabytes_takes_less_than_a_minute_of_two_processors(minilm_files: TokenizerSpec) -> None:
    text, before = sentences(50_000_000), time.process_time()
    assert sum(1 for _ in pieces(text, minilm_files.load(), 256)) > 50_000
    assert time.process_time() - before < 2 * 60


def test_a_long_text_is_cut_between_words_and_loses_nothing(minilm_files: TokenizerSpec) -> None:
    tokenizer = minilm_files.load()
    for text in (sentences(3 * LONGEST_TEXT), "x" * (2 * LONGEST_TEXT + 7), " " * (2 * LONGEST_TEXT) + "son"):
        found = list(pieces(text, tokenizer, 64))
        assert "".join("".join(found).split()) == "".join(text.split())
        assert max(map(len, found)) <= LONGEST_TEXT
    assert list(pieces(clean(""), tokenizer, 64)) == [""]


def test_what_was_cut_or_too_long_is_counted(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    texts = [*(f"Kısa {n}." for n in range(200)), sentences(5000), sentences(LONGEST_TEXT + 10, start=10_000)]
    pairs = [{"en": f"Sentence {n}.", "tr": f"Cümle {n}."} for n in range(300)]
    pairs += [{"en": "x " * LONGEST_TEXT, "tr": "y"}, {"en": "x", "tr": "y " * LONGEST_TEXT}]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    result = corpus_of(tmp_path, minilm_files, texts, [tmp_path / "p.jsonl"]).result
    text, parallel = result.text["tr"], result.parallel
    assert parallel is not None
    assert (text.read, text.cut, text.kept > 500) == (202, 2, True)
    assert (parallel.read, parallel.kept, parallel.dropped_long) == (302, 300, 2)


def one_line(file: Path, before: bytes, after: bytes, megabytes: int = 512) -> Path:
    with gzip.open(file, "wb", compresslevel=1) as packed:
        packed.write(before)
        for _ in range(megabytes):
            packed.write("Bir kedi, iki köpek ve üç kuş. ".encode() * 31_775)
        packed.write(after)
    return file


def giant_parquet(file: Path) -> Path:
    """Two texts of 100 MB on one page."""
    pq.write_table(pa.table({"text": ["kedi " * 20_000_000, "kuş " * 20_000_000]}), file)
    return file


def repeating_parquet(file: Path) -> Path:
    """A text of 8 MB that stands in a dictionary once and in 100,000 rows."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["kedi " * 1_600_000]))
    pq.write_table(pa.table({"text": column}), file)
    return file


def peak(file: Path) -> tuple[int, int, str]:
    command = [sys.executable, "-c", PEAK, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    memory, characters, *outcome = done.stdout.split(maxsplit=2)
    return int(memory), int(characters), "".join(outcome)


needs_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads what Linux says of a process")


@needs_linux
@pytest.mark.parametrize(
    ("name", "before", "after", "refusal"),
    [
        ("x.txt.gz", b"", b"", ""),
        ("x.jsonl.gz", b'{"text": "', b'"}', "line 1: a row of more than 8,388,608 characters"),
        ("x.csv.gz", b'text\n"', b'"', "line 2: a row of more than"),
        ("x.tsv.gz", b"text\n", b"", "line 2: a row of more than"),
        ("sts.csv.gz", b'sentence1,sentence2,score\n"', b'"', "line 2: a row of more than"),
    ],
)
def test_a_line_of_half_a_gigabyte_takes_little_memory(
    tmp_path: Path, name: str, before: bytes, after: bytes, refusal: str
) -> None:
    # All of it is read where nothing is refused: that takes a while.
    memory, characters, outcome = peak(one_line(tmp_path / name, before, after, megabytes=64 if refusal else 512))
    assert memory < GIB / 2
    assert refusal in outcome and bool(outcome) == bool(refusal)
    assert refusal or characters > 450_000_000


@needs_linux
def test_a_row_that_never_ends_takes_little_memory(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.csv.gz", "wb", compresslevel=1) as file:
        file.write(b"text\n")
        for _ in range(100):
            file.write(b'"\n",' * 250_000)
    memory, _, outcome = peak(tmp_path / "x.csv.gz")
    assert memory < GIB
    assert "a row of more than" in outcome


@needs_linux
def test_parquet_takes_little_memory_whatever_its_pages_unpack_to(tmp_path: Path) -> None:
    memory, _, outcome = peak(giant_parquet(tmp_path / "giant.parquet"))
    assert memory < GIB / 2
    assert "200,000,008 bytes of text can only be read at once" in outcome
    memory, characters, outcome = peak(repeating_parquet(tmp_path / "again.parquet"))
    assert memory < GIB
    assert (characters > GIB, outcome) == (True, "")


def test_long_texts_of_parquet_are_read(tmp_path: Path) -> None:
    texts = [sentences(3_000_000, start=n) for n in range(4)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "x.parquet")
    assert list(read_texts(tmp_path / "x.parquet", "tr")) == texts


def test_a_group_of_many_pages_is_read_in_the_memory_of_a_few(tmp_path: Path) -> None:
    with pq.ParquetWriter(tmp_path / "x.parquet", pa.schema([("text", pa.string())]), compression="none") as file:
        rows = [f"{n} " + "x" * 1000 for n in range(60_000)]
        file.write_table(pa.table({"text": rows}), row_group_size=60_000)
    del rows
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in parquet_rows(tmp_path / "x.parquet", ["text"])]
    assert len(held) == 60_000
    assert max(held) < 10_000_000  # the group has 60 MB


def test_a_line_longer_than_is_held_comes_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a" * (2 * LONGEST_LINE + 5) + "\nb\n")
    assert list(map(len, read_texts(tmp_path / "x.txt", "tr"))) == [LONGEST_LINE, LONGEST_LINE, 5, 1]
    (tmp_path / "x.jsonl").write_text('{"text": "' + "a" * LONGEST_LINE + '"}')
    with pytest.raises(UserError, match="line 1: a row of more than"):
        list(read_texts(tmp_path / "x.jsonl", "tr"))


@pytest.mark.parametrize("most", [2**18, 2**10])  # slots; of the fewer, nearly all hashes are on the disk
def test_a_set_of_hashes_is_a_set(most: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"_MOST": most, "_BLOCK": 8, "_PART": 64}.items():
        monkeypatch.setattr(hashes, name, value)
    values = [hash_text(str(number % 6000)) for number in range(8000)] + [0, 0, 1 << 63, 5, 5 + (1 << 40)]
    ours, pythons = HashSet(tmp_path / "new"), set[int]()
    for value in values:
        assert (value in ours) == (value in pythons)
        ours.add(value)
        pythons.add(value)
    assert all(value in ours for value in values)
    assert not list(tmp_path.glob("new/*"))  # nothing is left where a process is killed


def test_a_set_of_hashes_keeps_its_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hashes, "_MOST", 2**10)
    values = np.random.default_rng(1).integers(2**64, size=8000, dtype=np.uint64).tolist()
    ours = HashSet(tmp_path)
    tracemalloc.start()
    for value in values:
        ours.add(value)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 24_000  # 8 bytes each would be 64,000
    assert all(value in ours for value in values)
    assert not any(value + 1 in ours for value in values)
