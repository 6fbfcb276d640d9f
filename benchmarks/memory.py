"""Memory of the stages for ten times the text; writes its sections of docs/performance.md and docs/scale.md.

    python -m benchmarks.memory [--only corpus|tokenizer|training] [--rows N ...] [--steps N] [--work DIR]

`benchmarks.memory_corpus` and `memory_tokenizer` do these stages; `benchmarks.embedding` measures the stage embed.

Of a training the speed is measured too. Its rows are made up: short texts of random words, random vectors of 768
numbers in float16. The model is so small that reading takes the largest share of a step that it can. A process for
each number of rows loads the model, takes a step on a few rows, and only then counts: what the rows add to the peak is
what is measured. Then the same steps are taken from arrays in memory, in turns with those from disk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.document import write_section
from benchmarks.memory_corpus import MOST_GROWTH, corpus_is_flat
from benchmarks.memory_tokenizer import tokenizer_is_flat
from hub_tools.config import DistillConfig
from hub_tools.core.files import write_json
from hub_tools.core.hardware import Hardware, keep_freed_memory
from hub_tools.models.encoder import Encoded
from hub_tools.models.loading import load_model
from hub_tools.models.resolve import bundled_teacher
from hub_tools.training.data import TrainingSet, load_training_set
from hub_tools.training.trainer import Trainer
from hub_tools.vectors.dataset import SHARD_ROWS, EmbeddingDataset, Row, Shard, shards, write_shard

DIM, WORDS = 768, 12
# Steps that are taken from disk and from memory in turns, and how often.
TURN, TURNS = 20, 15
MOST_GIB, LEAST_SPEED = 1.0, 0.95
PARTS = ("corpus", "tokenizer", "training")


def make_model(out: Path) -> None:
    """Two layers of 64 with a projection to 768, and MiniLM's tokenizer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(str(bundled_teacher()))
    small: Any = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    BertModel(BertConfig(vocab_size=len(tokenizer), **small)).save_pretrained(str(out / "bert"))
    tokenizer.save_pretrained(str(out / "bert"))
    first = modules.Transformer(str(out / "bert"), max_seq_length=64)
    rest = [modules.Pooling(64, "mean"), modules.Dense(64, DIM), modules.Normalize()]
    SentenceTransformer(modules=[first, *rest], device="cpu").save(str(out / "model"), create_model_card=False)


def make_vectors(rows: int, out: Path) -> None:
    """A dataset of made-up rows, shard by shard."""
    vocabulary = np.array([word for word in (bundled_teacher() / "vocab.txt").read_text().split() if word.isalpha()])
    for start in range(0, rows, SHARD_ROWS):
        file, count = out / f"train-{start // SHARD_ROWS:05d}.parquet", min(SHARD_ROWS, rows - start)
        if file.exists():
            continue
        random = np.random.default_rng([rows, start])
        texts = [" ".join(words) for words in vocabulary[random.integers(len(vocabulary), size=(count, WORDS))]]
        vectors = random.standard_normal((count, DIM), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        made = [Row(text, "tr", None, "tr", None) for text in texts]
        write_shard(Shard(file, "train", made), Encoded(vectors, np.full(count, -1, np.int32)), "float16")
    names = {file.name: "" for file in shards(out)}
    write_json(out / "manifest.json", {"prompts": {}, "rows_by_prompt": {}, "targets": ["tr"], "sha256": names})


def peak_mib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def trainer_of(work: Path, data: TrainingSet) -> Trainer:
    """A training in steps of 8,192 tokens."""
    hardware = Hardware(device="cpu", precision="fp32")
    config = DistillConfig(steps=10_000, batch_tokens=8192, learning_rate=1e-4)
    return Trainer(load_model(work / "model", device="cpu"), data, data, work, config, hardware=hardware, seed=1)


def load(work: Path, rows: int) -> TrainingSet:
    """The rows as the stage `distill` has them."""
    folder = work / "model"
    return load_training_set(EmbeddingDataset(work / f"vectors-{rows}"), "train", folder / "tokenizer.json", 64)


def seconds_of(trainer: Trainer, batches: list[Any]) -> float:
    """Take steps."""
    started = time.perf_counter()
    for batch in batches:
        trainer.take_step(batch)
    return time.perf_counter() - started


def measure(work: Path, rows: int, steps: int) -> dict[str, Any]:
    """Train on rows from disk and then in turns with rows in memory; memory and times."""
    keep_freed_memory()
    few = trainer_of(work, load(work, 1000))
    seconds_of(few, few.epoch(0)[:3])
    del few
    before, started = peak_mib(), time.perf_counter()
    data = load(work, rows)
    loading = time.perf_counter() - started
    trainer = trainer_of(work, data)
    seconds_of(trainer, trainer.epoch(0)[:steps])
    above = peak_mib() - before
    print(f"{rows:,} rows: {above:,.0f} MiB above the model, read in {loading:,.0f} s", file=sys.stderr, flush=True)
    held = replace(data, texts=replace(data.texts, ids=data.texts.ids[:]), targets=data.targets[:])
    ratios, left = [], trainer.epoch(1)
    for turn in range(min(TURNS, len(left) // TURN)):
        batches = left[turn * TURN : (turn + 1) * TURN]
        times = {}
        # The one that is first changes, because the other finds the texts' pages in the caches.
        for way in ("disk", "memory") if turn % 2 else ("memory", "disk"):
            trainer.train_set = data if way == "disk" else held
            times[way] = seconds_of(trainer, batches)
        ratios.append(times["memory"] / times["disk"])
    tokens = trainer.tokens / max(trainer.step, 1)
    return {
        "rows": rows,
        "before_mib": before,
        "above_mib": above,
        "loading": loading,
        "ratios": ratios,
        "tokens": tokens,
    }


def document(found: list[dict[str, Any]]) -> None:
    """Write the section."""
    rows = [
        f"| {one['rows']:,} | {one['above_mib']:,.0f} | {one['before_mib'] + one['above_mib']:,.0f} "
        f"| {one['rows'] * DIM * 2 / 2**20:,.0f} | {one['loading']:,.0f} "
        f"| {statistics.median(one['ratios']):.3f} ({min(one['ratios']):.3f} to {max(one['ratios']):.3f}) |"
        for one in found
    ]
    lines = [
        f"Written by `python -m benchmarks.memory` on {time.strftime('%Y-%m-%d')}; {os.cpu_count()} CPU cores. Rows of "
        f"{WORDS} random words with random vectors of {DIM} numbers in float16, a model of two layers of 64.",
        "",
        "| rows | MiB above the model | peak in all | vectors alone, in MiB | seconds to tokenize and store | "
        "tokens per second against rows in memory |",
        "|---:|---:|---:|---:|---:|---:|",
        *rows,
        "",
        f"Goals: at most {MOST_GIB:g} GiB above the model, at least {LEAST_SPEED} of the speed.",
    ]
    write_section("performance.md", "memory", lines)


def training_is_flat(work: Path, sizes: list[int], steps: int) -> bool:
    """Measure trainings and write their section; whether the goals are reached."""
    make_model(work)
    for rows in (1000, *sizes):
        make_vectors(rows, work / f"vectors-{rows}")
    found = []
    for rows in sizes:
        command = [sys.executable, "-m", "benchmarks.memory", "--here", "--rows", str(rows), "--steps", str(steps)]
        done = subprocess.run([*command, "--work", str(work)], check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(done.stdout.strip().splitlines()[-1]))
        print(json.dumps(found[-1]), flush=True)
    document(found)
    return all(one["above_mib"] <= MOST_GIB * 1024 and statistics.median(one["ratios"]) >= LEAST_SPEED for one in found)


def main() -> None:
    """Measure, and write the sections."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("memory-benchmark"))
    parser.add_argument("--here", action="store_true", help="measure one number of rows in this process")
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measure(args.work, args.rows[0], args.steps)))
        return
    missed, parts = [], (args.only,) if args.only else PARTS
    for part, is_flat in (("corpus", corpus_is_flat), ("tokenizer", tokenizer_is_flat)):
        if part in parts and not is_flat(args.work / part, args.rows):
            missed.append(f"a {part} stage whose memory grows by at most {MOST_GROWTH - 1:.0%}")
    if "training" in parts and not training_is_flat(args.work, args.rows, args.steps):
        missed.append(f"at most {MOST_GIB:g} GiB above the model and {LEAST_SPEED} of the speed")
    if missed:
        sys.exit(f"Expected {' and '.join(missed)}.")


if __name__ == "__main__":
    main()
