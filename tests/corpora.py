"""Corpora of tests: the same sentences in any format, and the corpus that is made of sources."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hub_tools.config import CorpusConfig
from hub_tools.corpus.build import Corpus, build_corpus
from hub_tools.corpus.pairs import HubPairs
from hub_tools.corpus.sources import find_sources
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

SENTENCES = [f"Bu {number} numaralı cümledir." for number in range(300)]


def build(
    tmp_path: Path,
    files: TokenizerSpec,
    *specs: str,
    parallel: list[Path | HubPairs] | None = None,
    limit: str | int | None = None,
    languages: tuple[str, ...] = ("tr", "en"),
    targets: tuple[str, ...] = ("tr",),
) -> Corpus:
    sources = [source for spec in specs for source in find_sources(spec, languages, 1)]
    build_corpus(
        tmp_path / "corpus",
        sources,
        parallel or [],
        targets=targets,
        languages=languages,
        limits=CorpusConfig(limit=limit).limits,
        seed=1,
        tokenizer=files.load(),
        max_tokens=64,
    )
    return Corpus(tmp_path / "corpus")


def write(path: Path, texts: list[str]) -> Path:
    """The same texts in the format that the name asks for."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"id": list(range(len(texts))), "text": texts}), path)
        return path
    if name.endswith(".jsonl"):
        lines = [json.dumps({"text": text, "n": 1}, ensure_ascii=False) for text in texts]
    elif name.endswith(".csv"):
        buffer = io.StringIO()
        csv.writer(buffer).writerows([("id", "text"), *enumerate(texts)])
        lines = buffer.getvalue().splitlines()
    elif name.endswith(".tsv"):
        lines = ["id\ttext", *(f"{i}\t{text}" for i, text in enumerate(texts))]
    else:
        lines = texts
    content = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def kept_of_each(corpus: Corpus) -> dict[str, int]:
    return {lang: text.kept for lang, text in corpus.result.text.items()}
