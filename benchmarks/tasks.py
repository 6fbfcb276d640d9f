"""Vectors by the local executor against one process; writes its section of docs/scale.md.

    python -m benchmarks.tasks --data DATA [--texts N] [--rounds N] [--work DIR]

The same sentences, with all-MiniLM-L6-v2, by the embed stage in one process with all cores and by two processes with
half of them each, in turns. A process for each way and round does the stage three times: with a few texts, which shows
what it costs to begin; with these again, now that all is imported; and with all texts. What these take longer is the
time that their vectors take. Shards are small, so that both processes have as many.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from benchmarks.document import write_section
from benchmarks.embedding import make_corpus, texts_of
from hub_tools.config import EmbedConfig
from hub_tools.config_scale import ScaleConfig
from hub_tools.core.hardware import Hardware, keep_freed_memory
from hub_tools.corpus.build import Corpus
from hub_tools.models.loading import SAFE
from hub_tools.models.resolve import bundled_teacher, find_teacher
from hub_tools.vectors import embed as stage
from hub_tools.vectors.executors import compute_shards

ALONE, TASKS = "one process", "two processes"
FEW, SHARD = 64, 512
GOAL = 0.95
# Rows of a run for which is computed what it costs to begin.
USUAL = 100_000


def seconds_of(way: str, corpus: Path, out: Path, shard_rows: int) -> float:
    """Embed a corpus, and return the seconds after the model was loaded here."""
    vars(stage)["SHARD_ROWS"] = shard_rows
    teacher, hardware = find_teacher(str(bundled_teacher())), Hardware(device="cpu", precision="fp32")
    elsewhere = partial(
        compute_shards,
        scale=ScaleConfig(executor="local", workers=2),
        teacher=str(bundled_teacher()),
        policy=SAFE,
        dtype="float16",
        device="cpu",
        precision="fp32",
    )
    shutil.rmtree(out, ignore_errors=True)
    found = stage.embed(
        teacher,
        Corpus(corpus),
        out,
        targets=("en",),
        config=EmbedConfig(),
        hardware=hardware,
        elsewhere=elsewhere if way == TASKS else None,
    )
    rows = Corpus(corpus).result.text["en"].train
    return rows / (found.rows_per_second or float("nan"))


def measure(way: str, work: Path, texts: int) -> dict[str, float]:
    """Rows a second, and the seconds to begin."""
    keep_freed_memory()
    begin, again = (seconds_of(way, work / "few", work / "vectors", FEW // 2) for _ in range(2))
    whole = seconds_of(way, work / "corpus", work / "vectors", SHARD)
    return {"rate": (texts - FEW) / (whole - again), "begin": begin}


def document(found: dict[str, list[dict[str, float]]], texts: int) -> float:
    """Write the section and return how many times as fast the processes are."""
    rates = {way: [one["rate"] for one in own] for way, own in found.items()}
    begin = {way: statistics.median(one["begin"] for one in own) for way, own in found.items()}
    ratios = [two / one for one, two in zip(*rates.values(), strict=True)]
    ratio, more = float(statistics.median(ratios)), begin[TASKS] - begin[ALONE]
    usual = USUAL / statistics.median(rates[ALONE])
    one, two = (", ".join(f"{rate:,.0f}" for rate in own) for own in rates.values())
    lines = [
        f"Written by `python -m benchmarks.tasks --data DATA` on {time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, "
        f"fp32. Rows a second of {texts:,} sentences with all-MiniLM-L6-v2, in turns: one process {one}; `--executor "
        f"local --workers 2` {two}. That is {ratio:.3f} times as many in the median ({min(ratios):.3f} to "
        f"{max(ratios):.3f}; goal: {GOAL}). The processes need {more:.1f} s more to begin: of {USUAL:,} rows "
        f"{more / usual:.1%} (computed).",
    ]
    write_section("scale.md", "tasks", lines)
    return ratio


def main() -> None:
    """Measure in turns and write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=8 * SHARD)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--work", type=Path, default=Path("tasks-benchmark"))
    parser.add_argument("--here", choices=(ALONE, TASKS), help="measure one way in this process")
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measure(args.here, args.work, args.texts)))
        return
    texts = texts_of(args.data, args.texts)
    make_corpus(texts[:FEW], FEW, args.work / "few")
    make_corpus(texts, args.texts, args.work / "corpus")
    found: dict[str, list[dict[str, float]]] = {ALONE: [], TASKS: []}
    words = ["--data", ".", "--texts", str(args.texts), "--work", str(args.work)]
    for _ in range(args.rounds):
        for way, own in found.items():
            command = [sys.executable, "-m", "benchmarks.tasks", *words, "--here", way]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            own.append(json.loads(done.stdout.strip().splitlines()[-1]))
            print(way, own[-1], flush=True)
    if document(found, args.texts) < GOAL:
        sys.exit(f"Expected {GOAL} times the rows a second of one process.")


if __name__ == "__main__":
    main()
