"""How much of the clone's backbone the student should keep, judged on STSb dev; writes its part of docs/results.md.

    python -m benchmarks.blend --data DIR RUN...

Each RUN is a finished run folder whose student was trained with `distill.weight_interpolation = 0`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from scipy.stats import spearmanr

from benchmarks.document import write_section
from hub_tools.core.files import read_json
from hub_tools.core.hardware import Hardware
from hub_tools.evaluation.data import Similarity, read_similarity
from hub_tools.models.encoder import encode, unit
from hub_tools.models.loading import load_model, token_rows
from hub_tools.vectors.dataset import shards, vectors_of

CPU = Hardware(device="cpu", precision="fp32")
SHARES = (0.0, 0.3, 0.5, 0.7, 1.0)
HELDOUT = 500


def spearman(model: Any, pairs: Similarity) -> float:
    """Spearman x100 of a model on an STS table."""
    first, second = (unit(encode(model, side, CPU)) for side in (pairs.first, pairs.second))
    return 100 * float(spearmanr((first * second).sum(axis=1), pairs.scores).statistic)


def heldout_cosine(model: Any, run: Path) -> float:
    """Mean cosine to the teacher's vectors on held-out translations."""
    table = pq.read_table(shards(run / "embeddings", "validation")[0], columns=["translation", "embedding"])
    texts, vectors = table["translation"].to_pylist(), vectors_of(table, "embedding")
    rows = [row for row, text in enumerate(texts) if text][:HELDOUT]
    found = unit(encode(model, [texts[row] for row in rows], CPU))
    return float((found * unit(vectors[rows].astype(np.float32))).sum(axis=1).mean())


def measure(run: Path, tables: dict[str, Any]) -> list[str]:
    """Rows of the table for one run."""
    if read_json(run / "report.json")["config"]["distill"].get("blend"):
        raise SystemExit(f"{run} was trained with distill.weight_interpolation above 0; expected a run without it.")
    clone, student = (load_model(run / name, device="cpu") for name in ("clone", "student"))
    rows = token_rows(student)
    trained = [weights.detach().clone() for weights in student.parameters()]
    lines = []
    for share in SHARES:
        with torch.no_grad():
            for weights, own, start in zip(student.parameters(), trained, clone.parameters(), strict=True):
                if weights is not rows:
                    weights.copy_(own.lerp(start, share))
        scores = " | ".join(f"{spearman(student, table):.2f}" for table in tables.values())
        lines.append(f"| {run.name} | {share:g} | {scores} | {heldout_cosine(student, run):.3f} |")
    return lines


def main() -> None:
    """Measure the runs and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("runs", type=Path, nargs="+")
    args = parser.parse_args()
    tables = {lang: read_similarity(str(args.data / f"sts/stsb-{lang}-dev.tsv.gz"), lang) for lang in ("tr", "en")}
    lines = [
        "| run | blend | STSb tr dev | STSb en dev | cosine on held-out translations |",
        "|---|---:|---:|---:|---:|",
        *(line for run in args.runs for line in measure(run, tables)),
    ]
    write_section("results.md", "blend", lines)


if __name__ == "__main__":
    main()
