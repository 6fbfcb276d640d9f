"""Files of text as the tests write and read them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from hub_tools.corpus.build import Corpus, build_corpus
from hub_tools.corpus.readers import read_texts
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

PAIRS = [(f"This is sentence {n}.", f"Bu {n} numaralı cümledir.") for n in range(300)]


def put(tmp_path: Path, name: str, content: str | bytes) -> Path:
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def texts(file: Path) -> list[str]:
    return list(read_texts(file, "tr"))


def as_table(rows: list[tuple[str, ...]], **style: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n", **style).writerows(rows)
    return buffer.getvalue()


def pairs_of(tmp_path: Path, file: Path, files: TokenizerSpec) -> list[tuple[str, str]]:
    build_corpus(
        tmp_path / "corpus",
        [],
        [file],
        targets=("tr",),
        languages=("tr",),
        limits={},
        seed=1,
        tokenizer=files.load(),
        max_tokens=64,
    )
    corpus = Corpus(tmp_path / "corpus")
    return sorted((pair.source, pair.target) for split in ("train", "heldout") for pair in corpus.pairs(split))
