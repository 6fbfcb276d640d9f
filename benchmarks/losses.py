"""Losses and phases of training compared on dev data; writes its section of docs/results.md.

    python -m benchmarks.losses RUN --data DATA [--work DIR] [--steps N] [--batch-tokens N]

RUN holds a clone and the teacher's vectors (`hub-distill embed`). Each way trains the same clone on the same tokens;
STS is measured on STSb dev alone. A finished way is not trained again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.document import table, write_section
from hub_tools.config import DistillConfig
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware, choose_hardware
from hub_tools.core.plain import to_plain
from hub_tools.evaluation.data import read_similarity
from hub_tools.models.encoder import encode
from hub_tools.models.loading import load_model
from hub_tools.training.distill import distill
from hub_tools.vectors.dataset import EmbeddingDataset

SHORT = 64
LANGUAGES = ("tr", "en")


def ways(steps: int) -> dict[str, dict[str, Any]]:
    """Name -> options that differ from the defaults."""
    return {
        "cosine (the default)": {},
        "cosine, linear schedule": {"schedule": "linear"},
        "cosine, with dropout": {"dropout": True},
        "cosine, token embeddings alone in the first quarter": {"embedding_only_steps": steps // 4},
        "cosine, Matryoshka 384, 192, 64": {"matryoshka": (384, 192, SHORT)},
        "relational, weight 20": {"loss": "relational", "similarity_weight": 20.0},
        "relational, weight 200": {"loss": "relational"},
        "mse": {"loss": "mse"},
    }


def similarities(folder: Path, data: Path, hardware: Hardware) -> dict[str, float]:
    """Spearman on STSb dev with whole vectors, and with their first numbers alone."""
    model = load_model(folder, device=hardware.device)
    found = {}
    for lang in LANGUAGES:
        pairs = read_similarity(str(data / f"sts/stsb-{lang}-dev.tsv.gz"), lang)
        a, b = (encode(model, side, hardware) for side in (pairs.first, pairs.second))
        for name, width in ((lang, a.shape[1]), (f"{lang}-short", SHORT)):
            sides = [side[:, :width] / np.linalg.norm(side[:, :width], axis=1, keepdims=True) for side in (a, b)]
            found[name] = 100 * float(spearmanr((sides[0] * sides[1]).sum(axis=1), pairs.scores).statistic)
    return found


def measure(args: argparse.Namespace, out: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Train in one way."""
    hardware = choose_hardware(args.device, "auto")
    config = DistillConfig(steps=args.steps, batch_tokens=args.batch_tokens, eval_steps=args.steps, **options)
    told = distill(
        args.run / "clone",
        EmbeddingDataset(args.run / "embeddings"),
        out / "student",
        config,
        hardware=hardware,
        seed=1,
    )
    return {**to_plain(told), **similarities(out / "student", args.data, hardware.exact)}


def main() -> None:
    """Train in every way and write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/losses"))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    rows = [["training", "held-out cosine", "tr dev", "en dev", f"tr dev, {SHORT} numbers", f"en dev, {SHORT} numbers"]]
    told: dict[str, Any] = {}
    for number, (name, options) in enumerate(ways(args.steps).items()):
        out = args.work / f"{number}-{args.steps}x{args.batch_tokens}"
        if not (out / "found.json").exists():
            write_json(out / "found.json", measure(args, out, options))
        told = read_json(out / "found.json")
        scores = [f"{told[column]:.2f}" for column in ("tr", "en", "tr-short", "en-short")]
        rows.append([name, f"{told['cosine_after']:.4f}", *scores])
        write_section(
            "results.md",
            "losses",
            [
                f"Written by `python -m benchmarks.losses RUN --data DATA --steps {args.steps} "
                f"--batch-tokens {args.batch_tokens}` on {time.strftime('%Y-%m-%d')}, in {told['precision']}.",
                "",
                f"The same clone (held-out cosine {told['cosine_before']:.4f}) after {told['steps']} steps, "
                f"{told['tokens']:,} tokens, in each way; one seed. STSb dev, Spearman x100; no test split was read.",
                "",
                *table(rows),
            ],
        )


if __name__ == "__main__":
    main()
