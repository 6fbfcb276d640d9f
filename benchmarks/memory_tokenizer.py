"""Memory of the stage tokenizer; a part of `benchmarks.memory`, with the texts of `benchmarks.memory_corpus`.

A tokenizer is made of each of two teachers': all-MiniLM-L6-v2's, which is WordPiece, and a byte-level BPE that is
trained on some of the texts.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.document import write_section
from benchmarks.memory_corpus import LANG, MOST_GROWTH, WORDS, growth_table, growths, texts
from benchmarks.teachers import byte_level
from hub_tools.config import TokenizerConfig
from hub_tools.core.files import write_json
from hub_tools.corpus.build import Corpus
from hub_tools.models.resolve import bundled_teacher
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.make import make_tokenizer
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

FAMILIES = ("WordPiece", "BPE")
BPE_TEXTS, BPE_TOKENS, ROWS = 10_000, 30_000, 8192


def make_corpus(rows: int, work: Path) -> None:
    """Write what the stage corpus leaves of the texts."""
    (work / "text").mkdir(parents=True, exist_ok=True)
    schema, own = pa.schema([("text", pa.string()), ("split", pa.string())]), texts(rows)
    with pq.ParquetWriter(work / "text" / f"{LANG}.parquet", schema) as file:
        while part := list(islice(own, ROWS)):
            file.write_table(pa.table([part, ["train"] * len(part)], schema=schema))
    count = {LANG: {"sources": [], "train": rows}}
    write_json(work / "stats.json", {"languages": [LANG], "missing": [], "text": count})


def measure(teacher: Path, work: Path) -> dict[str, Any]:
    """Do the stage in this process; its peak memory and CPU time."""
    corpus = Corpus(work)
    texts_of = {LANG: partial(corpus.all_texts, LANG, (LANG,))}
    config = TokenizerConfig()
    adaptation = Adaptation(TokenizerSpec.read(teacher), texts_of, targets=(LANG,), config=config, max_seq_length=256)
    make_tokenizer(adaptation, work / teacher.name, samples={LANG: corpus.sample(LANG)})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {"peak_mib": peak, "seconds": time.process_time()}


def tokenizer_is_flat(work: Path, sizes: list[int]) -> bool:
    """Measure the stage with each number of texts and write its section; whether the goal is reached."""
    teachers = dict(zip(FAMILIES, (bundled_teacher(), work / "bpe"), strict=True))
    byte_level(texts(BPE_TEXTS), BPE_TOKENS).write(work / "bpe")
    found: dict[str, list[dict[str, Any]]] = {family: [] for family in FAMILIES}
    for rows in sizes:
        make_corpus(rows, work / str(rows))
        for family, own in found.items():
            command = [sys.executable, "-m", "benchmarks.memory_tokenizer", str(teachers[family])]
            done = subprocess.run([*command, str(work / str(rows))], check=True, stdout=subprocess.PIPE, text=True)
            own.append(json.loads(done.stdout.strip().splitlines()[-1]))
            print(f"{rows:,} texts, {family}:", own[-1], flush=True)
    lines = [
        f"Written by `python -m benchmarks.memory --only tokenizer` on {time.strftime('%Y-%m-%d')}. Texts of {WORDS} "
        "random words and one that no other text has, in one language; the largest memory of the whole process, in "
        f"MiB, which makes a tokenizer of all-MiniLM-L6-v2's or of a byte-level BPE of {BPE_TOKENS:,} tokens.",
        "",
        *growth_table("the tokenizer stage learns", found, sizes),
    ]
    write_section("scale.md", "tokenizer memory", lines)
    return max(growths(found)) <= MOST_GROWTH


def main() -> None:
    """Do the stage in this process, for `tokenizer_is_flat`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("teacher", type=Path)
    parser.add_argument("work", type=Path)
    args = parser.parse_args()
    print(json.dumps(measure(args.teacher, args.work)))


if __name__ == "__main__":
    main()
