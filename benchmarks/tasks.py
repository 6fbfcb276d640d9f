"""Vectors by the local executor against one process; writes its section of docs/scale.md.

    python -m benchmarks.tasks --data DATA [--texts N] [--rounds N] [--work DIR]

The same sentences, with all-MiniLM-L6-v2, by the embed stage in one process with all cores and by two processes with
half of them each, in turns. What the processes need to begin counts.
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
from hub_tools.vectors.embed import embed
from hub_tools.vectors.executors import compute_shards

ALONE, TASKS = "one process", "two processes"
GOAL = 0.95


def one_pass(way: str, work: Path) -> float:
    """Embed the corpus, and return rows a second."""
    keep_freed_memory()
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
    out = work / "vectors"
    shutil.rmtree(out, ignore_errors=True)
    found = embed(
        teacher,
        Corpus(work / "corpus"),
        out,
        targets=("en",),
        config=EmbedConfig(),
        hardware=hardware,
        elsewhere=elsewhere if way == TASKS else None,
    )
    return found.rows_per_second or 0.0


def main() -> None:
    """Measure in turns and write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("tasks-benchmark"))
    parser.add_argument("--here", choices=(ALONE, TASKS), help="do one pass in this process")
    args = parser.parse_args()
    if args.here:
        print(json.dumps(one_pass(args.here, args.work)))
        return
    make_corpus(texts_of(args.data, min(args.texts, 20_000)), args.texts, args.work / "corpus")
    rates: dict[str, list[float]] = {ALONE: [], TASKS: []}
    for _ in range(args.rounds):
        for way, found in rates.items():
            command = [sys.executable, "-m", "benchmarks.tasks", "--data", ".", "--work", str(args.work), "--here", way]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(float(done.stdout.strip().splitlines()[-1]))
            print(way, found[-1], flush=True)
    ratios = [two / one for one, two in zip(*rates.values(), strict=True)]
    one, two = (", ".join(f"{rate:,.0f}" for rate in found) for found in rates.values())
    lines = [
        f"Written by `python -m benchmarks.tasks --data DATA` on {time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, "
        f"fp32. Rows a second of {args.texts:,} sentences with all-MiniLM-L6-v2: one process {one}; `--executor local "
        f"--workers 2` {two}; {statistics.median(ratios):.3f} times in the median (goal: {GOAL}).",
    ]
    write_section("scale.md", "tasks", lines)
    if statistics.median(ratios) < GOAL:
        sys.exit(f"Expected {GOAL} times the rows a second of one process.")


if __name__ == "__main__":
    main()
