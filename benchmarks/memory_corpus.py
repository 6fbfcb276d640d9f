"""Memory of the stage corpus; a part of `benchmarks.memory`, which imports torch and so cannot measure it.

A text has 12 random words and one that no other text has, and all are in one language: what is kept of each would show.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.document import write_section
from hub_tools.corpus.build import build_corpus
from hub_tools.corpus.shards import SHARD, TASKS
from hub_tools.corpus.sources import HubTexts, Source, find_sources
from hub_tools.models.resolve import bundled_teacher
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

LANG, WORDS, SHARD_ROWS = "en", 12, 10_000
FILE, PIECES = PARTS = ("a file", "what tasks have read of a dataset")
MOST_GROWTH = 1.1
# Some tokenizers take digits one by one, so that a number would be no word of its own.
_LETTERS = str.maketrans("0123456789", "abcdefghij")


@dataclass(frozen=True)
class ReadTexts(HubTexts):
    """A dataset of which tasks have read all shards."""

    shards: int = 0

    def sizes(self) -> tuple[int, int | None]:
        """Return how many these are."""
        return self.shards, None


def texts(rows: int) -> Iterator[str]:
    """Yield made-up texts."""
    words = [word for word in (bundled_teacher() / "vocab.txt").read_text(encoding="utf-8").split() if word.isalpha()]
    random = np.random.default_rng(0)
    for number in range(rows):
        yield " ".join([str(number).translate(_LETTERS), *(words[i] for i in random.integers(len(words), size=WORDS))])


def make_text(rows: int, work: Path) -> None:
    """Write the texts as a file, and as what tasks leave of a dataset."""
    shards = work / PIECES / TASKS / f"{LANG}-0"
    shards.mkdir(parents=True, exist_ok=True)
    with (work / "text.txt").open("w", encoding="utf-8") as file:
        file.writelines(f"{text}\n" for text in texts(rows))
    own = texts(rows)
    for number in range(-(-rows // SHARD_ROWS)):
        pieces = [[text] for text in islice(own, SHARD_ROWS)]
        pq.write_table(pa.table({"pieces": pieces}), shards / SHARD.format(number))


def build(part: str, work: Path) -> None:
    """Do the stage with one of the two."""
    tokenizer = TokenizerSpec.read(bundled_teacher()).load()
    sources = find_sources(str(work / "text.txt"), (LANG,), 1)
    if part == PIECES:
        count = len(list((work / PIECES / TASKS).rglob("*.parquet")))
        stream = ReadTexts("org/name", "", "train", "text", LANG, None, 1, shards=count)
        sources = [Source(lang=LANG, name=stream.name, identity=None, open=stream.texts, stream=stream)]
    out, none = work / part, lambda task, files: None
    how: Any = {"targets": (LANG,), "languages": (LANG,), "limits": {}, "seed": 1, "run": none}
    build_corpus(out, sources, [], tokenizer=tokenizer, max_tokens=256, **how)


def measure(part: str, work: Path) -> dict[str, Any]:
    """Do the stage in this process; its peak memory and CPU time."""
    build(part, work)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {"peak_mib": peak, "seconds": time.process_time()}


def measure_all(work: Path, sizes: list[int]) -> dict[str, list[dict[str, Any]]]:
    """Do the stage with each number of texts in a process of its own; what was found, by what it read."""
    found: dict[str, list[dict[str, Any]]] = {part: [] for part in PARTS}
    shutil.rmtree(work, ignore_errors=True)  # what is there already would not be done again
    for rows in sizes:
        make_text(rows, work / str(rows))
        for part, own in found.items():
            command = [sys.executable, "-m", "benchmarks.memory_corpus", part, str(work / str(rows))]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            own.append(json.loads(done.stdout.strip().splitlines()[-1]))
            print(f"{rows:,} texts, {part}:", own[-1], flush=True)
    return found


def growths(found: dict[str, list[dict[str, Any]]]) -> list[float]:
    """How many times as much memory the most texts need as the fewest, for each part."""
    return [own[-1]["peak_mib"] / own[0]["peak_mib"] for own in found.values()]


def growth_table(head: str, found: dict[str, list[dict[str, Any]]], sizes: list[int]) -> list[str]:
    """What was found of each part, and the goal."""
    return [
        f"| {head} | {' | '.join(f'{rows:,} texts' for rows in sizes)} | growth | µs of CPU time a text |",
        f"|---|{'---:|' * (len(sizes) + 2)}",
        *(
            f"| {part} | {' | '.join(format(one['peak_mib'], ',.0f') for one in own)} "
            f"| {growth - 1:+.1%} | {own[-1]['seconds'] / sizes[-1] * 1e6:,.0f} |"
            for (part, own), growth in zip(found.items(), growths(found), strict=True)
        ),
        "",
        f"Goal: a growth of at most {MOST_GROWTH - 1:.0%}.",
    ]


def document(found: dict[str, list[dict[str, Any]]], sizes: list[int]) -> None:
    """Write the section."""
    lines = [
        f"Written by `python -m benchmarks.memory --only corpus` on {time.strftime('%Y-%m-%d')}. Texts of {WORDS} "
        "random words and one that no other text has, in one language, cut by all-MiniLM-L6-v2's tokenizer; the "
        "largest memory of the whole process, in MiB.",
        "",
        *growth_table("the corpus stage reads", found, sizes),
    ]
    write_section("scale.md", "memory", lines)


def corpus_is_flat(work: Path, sizes: list[int]) -> bool:
    """Measure the stage and write its section; whether the goal is reached."""
    found = measure_all(work, sizes)
    document(found, sizes)
    return max(growths(found)) <= MOST_GROWTH


def main() -> None:
    """Do the stage in this process, for `measure_all`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("work", type=Path)
    args = parser.parse_args()
    print(json.dumps(measure(args.part, args.work)))


if __name__ == "__main__":
    main()
