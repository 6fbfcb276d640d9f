"""What a billion texts cost, computed and simulated, nothing of it measured; writes its section of docs/scale.md.

    python -m benchmarks.scale [--texts N] [--gpus N]

Time is floating-point operations by a share of a GPU's peak. The way through the tasks is simulated as the executors
go it: workers take tasks, machines are lost at random, what was lost is launched again when all others have ended.
"""

from __future__ import annotations

import argparse
import heapq
import math
from typing import NamedTuple

import numpy as np

from benchmarks.document import write_section
from hub_tools.vectors.dataset import SHARD_ROWS
from hub_tools.vectors.tasks import MOST_SHARDS


class Model(NamedTuple):
    """A teacher; its student has the same layers."""

    name: str
    weights: float  # that are multiplied with every token, i.e. without the token embeddings
    layers: int
    hidden: int
    dim: int
    student: float  # weights of a student with half of the tokens, all of which have gradients


class Gpu(NamedTuple):
    """A GPU that Hugging Face Jobs lend."""

    name: str
    peak: float  # dense bf16 operations a second, as its maker says
    dollars: float  # an hour, as the Hub's list of prices said in November 2026


MODELS = (
    Model("all-MiniLM-L6-v2", 10.6e6, 6, 384, 384, 16.5e6),
    Model("multilingual-e5-small", 21.3e6, 12, 384, 384, 69.5e6),
    Model("embeddinggemma-300m", 106e6, 24, 768, 768, 207e6),
    Model("bge-m3", 302e6, 24, 1024, 1024, 430e6),
)
GPUS = (
    Gpu("L4", 121e12, 0.80),
    Gpu("A10G", 70e12, 1.00),
    Gpu("L40S", 362e12, 1.80),
    Gpu("A100", 312e12, 2.50),
    Gpu("H200", 989e12, 5.00),
)
# Seconds in which a process on two CPU cores reads, tokenizes and stores a token's worth of text: docs/performance.md
# has 7,028 rows a second of 39 tokens with static embeddings. It is not done while the GPU computes.
AROUND = 1 / 7028 / 39
# Of the peak that encoding and training are assumed to reach; the rest is padding, reading and waiting.
USE = 0.3
# Tokens and bytes of UTF-8 of a text.
TEXTS = {"sentences": (40, 120), "paragraphs": (300, 1000)}
# Bytes of memory that a training holds of each text: its place, group, flags, and its place in the order of an epoch.
HELD = 100
# Hours until a machine is lost, in the mean, and seconds until a task has its model.
LIFE, START = 200.0, 60.0
NETWORK = 12.5e9  # bytes a second between two machines, 100 Gbit/s
STEP_TOKENS = 8192


def operations(model: Model, tokens: int) -> float:
    """Floating-point operations of a forward pass for a text: its products, and attention."""
    return 2 * model.weights * tokens + 4 * model.layers * model.hidden * tokens**2


def embedding_seconds(model: Model, tokens: int, gpu: Gpu) -> float:
    """Seconds for the vector of a text on one GPU, and for what its processor does around that."""
    return operations(model, tokens) / (USE * gpu.peak) + AROUND * tokens


def simulate(shards: int, seconds: float, workers: int, seed: int = 0) -> tuple[float, float]:
    """Return hours until all shards are there, and the share of the time that was lost to starts and lost machines.

    `seconds` is the time of a shard. A lost machine loses the shard that it was at; the rest of its task waits for the
    next launch.
    """
    draw, now, busy = np.random.default_rng(seed), 0.0, 0.0
    left = shards
    while left:
        size = min(MOST_SHARDS, math.ceil(left / workers))
        tasks = [size] * (left // size) + ([left % size] if left % size else [])
        free = [now] * workers
        heapq.heapify(free)
        left = 0
        for task in tasks:
            begin, life = heapq.heappop(free), draw.exponential(3600 * LIFE)
            whole = START + task * seconds
            if life < whole:
                left += task - max(0, int((life - START) // seconds))
            end = begin + min(life, whole)
            busy += end - begin
            heapq.heappush(free, end)
        now = max(free)
    return now / 3600, 1 - shards * seconds / busy


def speeds() -> list[str]:
    """Texts a second of one GPU."""
    lines = [
        f"| texts a second, of {' / '.join(str(tokens) for tokens, _ in TEXTS.values())} tokens | "
        + " | ".join(gpu.name for gpu in GPUS)
        + " |",
        "|---" + "|---:" * len(GPUS) + "|",
    ]
    for model in MODELS:
        cells = [
            " / ".join(f"{1 / embedding_seconds(model, tokens, gpu):,.0f}" for tokens, _ in TEXTS.values())
            for gpu in GPUS
        ]
        lines.append(f"| {model.name} | {' | '.join(cells)} |")
    return lines


def costs(texts: int, gpus: int) -> list[str]:
    """Hours, dollars, disk and memory for all texts."""
    lines = [
        f"| teacher, texts | vectors: hours of {gpus} L40S | lost on the way | dollars | one epoch: hours of an H200 "
        "| dollars | vectors on disk, TB | texts, TB | disk of the training, TB | its memory, GB |",
        "|---" + "|---:" * 9 + "|",
    ]
    by_name = {gpu.name: gpu for gpu in GPUS}
    many, one = by_name["L40S"], by_name["H200"]
    shards = math.ceil(texts / SHARD_ROWS)
    for model in MODELS:
        for kind, (tokens, size) in TEXTS.items():
            flop = operations(model, tokens)
            hours, lost = simulate(shards, SHARD_ROWS * embedding_seconds(model, tokens, many), gpus)
            epoch = texts * 3 * flop / (USE * one.peak) / 3600
            cells = [
                f"{hours:,.1f}", f"{lost:.0%}", f"{hours * gpus * many.dollars:,.0f}", f"{epoch:,.1f}",
                f"{epoch * one.dollars:,.0f}", f"{texts * 2 * model.dim / 1e12:.1f}", f"{texts * size / 1e12:.1f}",
                f"{texts * (2 * model.dim + 4 * tokens) / 1e12:.1f}", f"{texts * HELD / 1e9:,.0f}",
            ]  # fmt: skip
            lines.append(f"| {model.name}, {kind} | {' | '.join(cells)} |")
    return lines


def traffic() -> list[str]:
    """Gradients between two machines, against the arithmetic of a step."""
    lines = [
        "| student of | gradients of a step, MB each way | seconds for them "
        f"| seconds to compute {STEP_TOKENS:,} tokens on an H200 | tokens of a step in which both take as long |",
        "|---|---:|---:|---:|---:|",
    ]
    peak = next(gpu.peak for gpu in GPUS if gpu.name == "H200")
    for model in MODELS:
        size = 4 * model.student
        sent, compute = size / NETWORK, 3 * 2 * model.weights * STEP_TOKENS / 2 / (USE * peak)
        equal = STEP_TOKENS * sent / compute
        lines.append(f"| {model.name} | {size / 1e6:,.0f} | {sent:.3f} | {compute:.4f} | {equal:,.0f} |")
    return lines


def main() -> None:
    """Compute and write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=10**9)
    parser.add_argument("--gpus", type=int, default=64)
    args = parser.parse_args()
    shards = math.ceil(args.texts / SHARD_ROWS)
    lines = [
        "Written by `python -m benchmarks.scale`: **computed, not measured**. Assumed are "
        f"{USE:.0%} of the peak in bf16 and, around it, a processor that reads, tokenizes and stores "
        f"{1 / AROUND / 40:,.0f} sentences a second (measured on two CPU cores); a machine is lost every {LIFE:.0f} "
        f"hours, and a task takes {START:.0f} s to begin. Dollars are those of Hugging Face Jobs in November 2026. The "
        "epoch is arithmetic alone.",
        "",
        *speeds(),
        "",
        f"{args.texts:,} texts are {shards:,} shards in {math.ceil(shards / MOST_SHARDS):,} tasks:",
        "",
        *costs(args.texts, args.gpus),
        "",
        f"Two machines with {NETWORK / 1.25e8:.0f} Gbit/s between them send each other all gradients in each step:",
        "",
        *traffic(),
    ]
    write_section("scale.md", "scale", lines)


if __name__ == "__main__":
    main()
