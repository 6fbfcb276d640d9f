"""The default learning rate against lower and higher ones; writes its section of docs/results.md.

    python -m benchmarks.rate --training RUN STEPS [--training RUN STEPS ...] [--work DIR]

RUN holds a clone and the teacher's vectors (`hub-distill embed`). Judged by the held-out cosine of the last weights; no
test split is read. A finished training is not done again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks.document import table, write_section
from hub_tools.config import DistillConfig
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import choose_hardware
from hub_tools.core.plain import to_plain
from hub_tools.training.distill import distill
from hub_tools.vectors.dataset import EmbeddingDataset

FACTORS = (0.5, 1.0, 2.0)
BATCH_TOKENS = 1024


def train(run: Path, steps: int, rate: float | None, out: Path) -> dict[str, Any]:
    """Train, or read what came of it before; the default rate where none is given."""
    if not (out / "found.json").exists():
        config = DistillConfig(steps=steps, batch_tokens=BATCH_TOKENS, learning_rate=rate, eval_steps=steps)
        hardware = choose_hardware("cpu", "auto")
        told = distill(run / "clone", EmbeddingDataset(run / "embeddings"), out, config, hardware=hardware, seed=1)
        # Of the weights as trained: how far they are blended with the clone's is another question.
        last = read_json(out / "training.json")["history"][-1]["cosine"]
        write_json(out / "found.json", {**to_plain(told), "cosine_trained": last})
    found: dict[str, Any] = read_json(out / "found.json")
    return found


def compare(run: Path, steps: int, work: Path) -> list[str]:
    """A row of the table: the held-out cosine at each rate."""
    place = work / f"{run.resolve().name}-{steps}"
    told = train(run, steps, None, place / "1.0")
    best = told["learning_rate"]
    found = [train(run, steps, best * factor, place / str(factor))["cosine_trained"] for factor in FACTORS]
    texts = EmbeddingDataset(run / "embeddings").rows("train")
    cells = [f"{texts:,}", str(steps), f"{told['cosine_before']:.4f}", f"{best:.2g}"]
    return [*cells, *(f"{cosine:.4f}" for cosine in found)]


def main() -> None:
    """Train at every rate and write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--training", nargs=2, action="append", required=True, metavar=("RUN", "STEPS"))
    parser.add_argument("--work", type=Path, default=Path("runs/rate"))
    args = parser.parse_args()
    rows = [["rows of text", "steps", "held-out cosine before", "default rate"]]
    rows[0] += ["it" if factor == 1 else f"{factor:g} times it" for factor in FACTORS]
    for run, steps in args.training:
        rows.append(compare(Path(run), int(steps), args.work))
        print(rows[-1], flush=True)
        write_section(
            "results.md",
            "rate",
            [
                f"Written by `python -m benchmarks.rate` on {time.strftime('%Y-%m-%d')}; all-MiniLM-L6-v2, steps of "
                f"{BATCH_TOKENS:,} tokens, one seed; held-out cosine afterwards, at the default rate and at others:",
                "",
                *table(rows),
            ],
        )


if __name__ == "__main__":
    main()
