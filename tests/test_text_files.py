"""Damaged files of text, and files given by mistake: text or one sentence, whatever they hold."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_tools.config import RunConfig
from hub_tools.core.errors import HubToolsError, UserError
from hub_tools.corpus.readers import read_table
from hub_tools.evaluation.data import read_similarity
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.damage import damage
from tests.text_files import PAIRS, as_table, pairs_of, put, texts


def _zip(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.txt", content)
    return buffer.getvalue()


def _parquet(column: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": column}), buffer)
    return buffer.getvalue()


MISTAKES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "a zip": ("x.txt", _zip, "looks like a zip archive"),
    "a bzip2": ("x.txt", bz2.compress, "looks like a bzip2 file"),
    "an xz": ("x.jsonl", lzma.compress, "looks like an xz file"),
    "a gzip": ("x.csv", gzip.compress, "looks like a gzip file: its name must end in .gz"),
    "a zip as gzip": ("x.txt.gz", _zip, "looks like a zip archive"),
    "a gzip cut off": ("x.txt.gz", lambda text: gzip.compress(text)[:-9], "no complete gzip"),
    "a gzip with more behind": ("x.txt.gz", lambda text: gzip.compress(text) + b"more", "no complete gzip"),
    "UTF-16": ("x.txt", lambda text: text.decode().encode("utf-16"), "looks like UTF-16"),
    "UTF-16 without a mark": ("x.txt", lambda text: text.decode().encode("utf-16-le"), "no UTF-8 text|zero bytes"),
    "Windows-1254": ("x.txt", lambda text: text.decode().encode("cp1254"), "no UTF-8 text: .* after line"),
    "zero bytes": ("x.csv", lambda text: b"text\n\0" + text, "zero bytes"),
    "a parquet": ("x.txt", lambda _: _parquet(["a"]), "looks like a parquet file"),
    "no parquet": ("x.parquet", lambda text: text, "no readable parquet file"),
    "an empty parquet": ("x.parquet", lambda _: b"", "no readable parquet file"),
    "deep JSON": ("x.jsonl", lambda _: b'{"text": ' + b"[" * 100_000, "line 1: not valid JSON"),
    "a long number": ("x.jsonl", lambda _: b'{"text": ' + b"9" * 5000 + b"}", "line 1: not valid JSON"),
    "no object": ("x.jsonl", lambda _: b'"text"', "expected a JSON object"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_files_given_by_mistake_are_refused_with_what_they_are(tmp_path: Path, mistake: str) -> None:
    name, make, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        texts(put(tmp_path, name, make("Günaydın, şöyle böyle.\n".encode() * 400)))


def test_text_of_parquet_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    column = pa.array([b"a\xff", b"b"]).view(pa.string())
    with pytest.raises(UserError, match="no readable parquet file"):
        texts(put(tmp_path, "x.parquet", _parquet(column)))


def test_halves_of_characters_become_question_marks_in_the_corpus(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    rows = "".join(f'{{"en": "{en} \\ud800", "tr": "{tr}"}}\n' for en, tr in PAIRS)
    found = pairs_of(tmp_path, put(tmp_path, "p.jsonl", rows), minilm_files)
    assert found == sorted((f"{en} ?", tr) for en, tr in PAIRS)


def _originals() -> dict[str, bytes]:
    rows = [
        ("id", "sentence1", "sentence2", "score", "text"),
        *((str(n), *pair, "1.5", "a b") for n, pair in enumerate(PAIRS[:40])),
    ]
    objects = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    table, lines = pa.Table.from_pylist(objects), "".join(json.dumps(row) + "\n" for row in objects)
    buffers = {kind: io.BytesIO() for kind in ("snappy", "zstd", "none")}
    for kind, buffer in buffers.items():
        pq.write_table(table, buffer, compression=kind, row_group_size=16, data_page_size=200)
    plain = {
        "txt": "\n".join(tr for _, tr in PAIRS),
        "csv": as_table(rows),
        "tsv": as_table(rows, delimiter="\t", quoting=csv.QUOTE_ALL),
        "jsonl": lines,
    }
    files = {ending: text.encode() for ending, text in plain.items()}
    files |= {f"{ending}.gz": gzip.compress(content, mtime=0) for ending, content in files.items()}
    files |= {f"{kind}.parquet": buffer.getvalue() for kind, buffer in buffers.items()}
    config = RunConfig.from_dict({"teacher": "org/model", "lang": "tr,en", "distill": {"matryoshka": [384, 128]}})
    return files | {"toml": config.to_toml().encode()}


def damaged_files(seed: int, count: int) -> list[tuple[str, bytes]]:
    """Files of every format that the readers of text know, each damaged in a way that depends on the seed alone."""
    rng, originals = random.Random(seed), sorted(_originals().items())
    return [(name, damage(content, rng)[1]) for name, content in (rng.choice(originals) for _ in range(count))]


READERS: tuple[Callable[[Path], Any], ...] = (
    texts,
    lambda file: list(read_table(file)),
    lambda file: read_similarity(str(file), "tr"),
)


CONFIG_READERS: tuple[Callable[[Path], Any], ...] = (RunConfig.from_toml,)


def test_any_damage_gives_text_or_one_sentence(tmp_path: Path) -> None:
    outcomes = {"read": 0, "refused": 0}
    for number, (name, content) in enumerate(damaged_files(17, 300)):
        file = put(tmp_path, f"{number}.{name}", content)
        for reader in CONFIG_READERS if name == "toml" else READERS:
            try:
                reader(file)
                outcomes["read"] += 1
            except HubToolsError as error:
                assert len(str(error)) < 1500, str(error)
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 50
