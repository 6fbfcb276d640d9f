"""Rows per second and memory of the embed stage; writes its section of docs/performance.md.

    python -m benchmarks.embedding --data DATA [--texts N] [--rounds N] [--work DIR]

DATA/text holds a file of sentences for each language. The same texts go through `SentenceTransformer.encode` with its
defaults and through the shards of the embed stage, with all-MiniLM-L6-v2; each pass in a process of its own, in turns.
Memory is that of the whole stage with static embeddings, a model so fast that a million rows are soon done.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.document import write_section
from benchmarks.training import product_rate
from hub_tools.config import EmbedConfig
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware, choose_hardware, keep_freed_memory
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.readers import read_texts
from hub_tools.models.encoder import Encoder
from hub_tools.models.loading import backbone, load_model, prepare_for_speed
from hub_tools.models.resolve import bundled_teacher, find_teacher
from hub_tools.vectors.dataset import SHARD_ROWS
from hub_tools.vectors.embed import embed

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

WAYS = ("encode", "embed")
FEW, MANY = 100_000, 1_000_000
_WARM_UP = 200
GOAL, LEAST_COSINE, MOST_GROWTH = 3.5, 0.999, 1.1


def texts_of(data: Path, count: int) -> list[str]:
    """As many lines of each language as it has, up to an equal share, in random order."""
    files = sorted((data / "text").glob("*.txt.gz"))
    lines = [list(read_texts(file, file.name.partition(".")[0])) for file in files]
    share = next(n for n in range(1, count) if sum(min(n, len(own)) for own in lines) >= count)
    mixed = [line for own in lines for line in own[:share]]
    order = np.random.default_rng(0).permutation(len(mixed))
    return [mixed[i] for i in order[:count]]


def one_pass(way: str, work: Path) -> None:
    """Load, warm up, embed all texts once, and leave seconds and vectors behind."""
    texts = read_json(work / "texts.json")
    if way == "encode":
        from sentence_transformers import SentenceTransformer

        plain = SentenceTransformer(str(bundled_teacher()), device="cpu")
        plain.encode(texts[:_WARM_UP], show_progress_bar=False)
        started = time.perf_counter()
        vectors = plain.encode(texts, show_progress_bar=False)
        seconds = time.perf_counter() - started
        described: dict[str, Any] = {}
    else:
        hardware = choose_hardware("cpu", "auto")
        model = load_model(bundled_teacher(), device=hardware.device)
        prepare_for_speed(model, hardware)
        if hardware.device == "cpu":
            keep_freed_memory()
        encoder = Encoder(model, hardware)
        encoder(texts[:_WARM_UP])
        started = time.perf_counter()
        shards = [encoder(texts[start : start + SHARD_ROWS]) for start in range(0, len(texts), SHARD_ROWS)]
        vectors = np.concatenate([shard.vectors for shard in shards])
        seconds = time.perf_counter() - started
        lengths = np.concatenate([shard.tokens for shard in shards]).astype(np.float64)
        described = {
            "hardware": str(hardware),
            "tokens": int(lengths.sum()),
            "operations": _operations(model, lengths),
            "rate": product_rate("cpu", hardware.precision),
        }
    np.save(work / f"{way}.npy", vectors)
    write_json(work / f"{way}.json", {"seconds": seconds, **described})


def _operations(model: SentenceTransformer, lengths: NDArray[np.float64]) -> float:
    """Floating-point operations of the backbone's products for texts of these lengths, without padding."""
    weights = sum(p.numel() for name, p in backbone(model).named_parameters() if "embeddings" not in name)
    config = backbone(model).config
    return float(2 * weights * lengths.sum() + 4 * config.num_hidden_layers * config.hidden_size * (lengths**2).sum())


def speed(work: Path, count: int, rounds: int) -> dict[str, Any]:
    """Medians of both ways, taken in turns, and the least cosine between their vectors."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            _here(work, way)
            seconds[way].append(read_json(work / f"{way}.json")["seconds"])
    plain, ours = (np.load(work / f"{way}.npy") for way in WAYS)
    lengths = np.linalg.norm(plain, axis=1) * np.linalg.norm(ours, axis=1)
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
    return {
        **read_json(work / "embed.json"),
        "texts": count,
        "rounds": rounds,
        "rows_per_second": {way: count / value for way, value in medians.items()},
        "times_faster": medians["encode"] / medians["embed"],
        "range": [min(ratios), max(ratios)],
        "least_cosine": float(((plain * ours).sum(axis=1) / lengths).min()),
    }


def make_static_teacher(out: Path) -> None:
    """Random rows for MiniLM's tokenizer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from tokenizers import Tokenizer

    torch.manual_seed(0)
    tokenizer = Tokenizer.from_file(str(bundled_teacher() / "tokenizer.json"))
    first = modules.StaticEmbedding(tokenizer, embedding_weights=torch.randn(tokenizer.get_vocab_size(), 256))
    SentenceTransformer(modules=[first, modules.Normalize()], device="cpu").save(str(out), create_model_card=False)


def make_corpus(texts: list[str], rows: int, out: Path) -> None:
    """The texts again and again, each with its number: all different, as long as real ones."""
    (out / "text").mkdir(parents=True, exist_ok=True)
    schema = pa.schema([("text", pa.string()), ("split", pa.string())])
    with pq.ParquetWriter(out / "text" / "en.parquet", schema) as file:
        for start in range(0, rows, SHARD_ROWS):
            part = [f"{n} {texts[n % len(texts)]}" for n in range(start, min(rows, start + SHARD_ROWS))]
            file.write_table(pa.table([part, ["train"] * len(part)], schema=schema))
    text = {"en": {"sources": [], "train": rows}}
    write_json(out / "stats.json", {"languages": ["en"], "missing": [], "text": text})


def whole_stage(work: Path, rows: int) -> None:
    """Embed a corpus in this process and leave its peak memory behind."""
    started = time.perf_counter()
    embed(
        find_teacher(str(work / "static")),
        Corpus(work / f"corpus-{rows}"),
        work / f"vectors-{rows}",
        targets=("en",),
        config=EmbedConfig(),
        hardware=Hardware(device="cpu", precision="fp32"),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    write_json(work / f"memory-{rows}.json", {"peak_mib": peak, "seconds": time.perf_counter() - started})


def memory(work: Path, texts: list[str], sizes: tuple[int, ...]) -> dict[int, Any]:
    """Peak memory of the stage for each number of rows."""
    make_static_teacher(work / "static")
    found = {}
    for rows in sizes:
        make_corpus(texts, rows, work / f"corpus-{rows}")
        _here(work, str(rows))
        found[rows] = read_json(work / f"memory-{rows}.json")
    return found


def _here(work: Path, part: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "benchmarks.embedding", "--data", ".", "--work", str(work), "--here", part], check=True
    )


def document(found: dict[str, Any], stage: dict[int, Any]) -> None:
    """Write the section."""
    few, many = (stage[rows] for rows in (FEW, MANY))
    rate, (low, high) = found["rows_per_second"], found["range"]
    share = found["operations"] * rate["embed"] / found["texts"] / found["rate"]
    lines = [
        f"Written by `python -m benchmarks.embedding --data DATA` on {time.strftime('%Y-%m-%d')}; "
        f"{os.cpu_count()} CPU cores, {found['hardware']}.",
        "",
        f"{found['texts']:,} sentences of all languages ({found['tokens'] / found['texts']:.0f} tokens each in the "
        f"mean) with all-MiniLM-L6-v2; medians of {found['rounds']} passes each, in turns:",
        "",
        "| | rows per second |",
        "|---|---:|",
        f"| `SentenceTransformer.encode`, its defaults | {rate['encode']:.0f} |",
        f"| the embed stage | {rate['embed']:.0f} |",
        "",
        f"{found['times_faster']:.2f} times as fast ({low:.2f} to {high:.2f} in single rounds; goal: {GOAL}). "
        f"Least cosine between the two vectors of a text: {found['least_cosine']:.6f}. The stage reaches {share:.0%} "
        f"of the {found['rate'] / 1e9:,.0f} GFLOP/s of a large matrix product here in {found['hardware']}; nothing "
        f"in this arithmetic could be more than {found['times_faster'] / share:.1f} times as fast as `encode`.",
        "",
        f"Peak memory of the whole stage with static embeddings: {few['peak_mib']:,.0f} MiB for {FEW:,} rows, "
        f"{many['peak_mib']:,.0f} MiB for {MANY:,} ({many['peak_mib'] / few['peak_mib'] - 1:+.1%}; "
        f"{MANY / many['seconds']:,.0f} rows per second).",
    ]
    write_section("performance.md", "embedding", lines)


def main() -> None:
    """Measure speed and memory and write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("embedding-benchmark"))
    parser.add_argument("--here", help="do one part in this process")
    args = parser.parse_args()
    if args.here in WAYS:
        one_pass(args.here, args.work)
    elif args.here:
        whole_stage(args.work, int(args.here))
    if args.here:
        return
    args.work.mkdir(parents=True, exist_ok=True)
    texts = texts_of(args.data, args.texts)
    write_json(args.work / "texts.json", texts)
    stage = memory(args.work, texts, (FEW, MANY))
    print(json.dumps(stage))
    found = speed(args.work, len(texts), args.rounds)
    print(json.dumps(found))
    document(found, stage)
    grown = stage[MANY]["peak_mib"] / stage[FEW]["peak_mib"]
    if found["times_faster"] < GOAL or found["least_cosine"] < LEAST_COSINE or grown > MOST_GROWTH:
        sys.exit(f"Expected {GOAL} times the rows per second, cosines of {LEAST_COSINE}, memory up by a tenth at most.")


if __name__ == "__main__":
    main()
