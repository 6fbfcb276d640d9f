"""Distil all-MiniLM-L6-v2 for Turkish on real text and write the figures into docs/results.md.

    python benchmarks/results.py --data DIR [--output DIR] [--only bitext|bitext+stsb|none]

DIR holds the files that the commands in docs/results.md name. No STS score is used in training; sentences of
the STS test split are removed from the training text first.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.document import read_section, write_section
from hub_tools.demo import demo_teacher
from hub_tools.tokenization.metrics import measure as measure_tokens
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

TURKISH = (
    "wikipedia",
    "wikipedia-2",
    "news",
    "news-columns",
    "tatoeba",
    "common-voice",
    "law",
    "web-leipzig",
    "techdocs",
)
# Chosen on STSb dev: see docs/results.md.
TRAINING = ["--steps", "1200", "--batch-tokens", "2048"]
STSB = ("stsb-tr-test", "stsb-en-test")
MODELS = ("teacher", "clone", "student")


def table(file: Path) -> Iterator[dict[str, str]]:
    """Rows of a gzipped TSV without quoting."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)


def write_stsb_pairs(data: Path, out: Path) -> int:
    """English and Turkish STS train sentences as unlabelled parallel text, those of the test split dropped."""
    sides = ("sentence1", "sentence2")

    def sentences(version: str, split: str) -> list[str]:
        return [row[side] for row in table(data / f"sts/stsb-{version}-{split}.tsv.gz") for side in sides]

    tested = {version: set(sentences(version, "test")) for version in ("en", "tr")}
    pairs = dict.fromkeys(zip(sentences("en", "train"), sentences("tr", "train"), strict=True))
    kept = [(en, tr) for en, tr in pairs if en not in tested["en"] and tr not in tested["tr"]]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("en\ttr\n" + "".join(f"{en}\t{tr}\n" for en, tr in kept), encoding="utf-8")
    return len(kept)


def command(data: Path, output: Path, extra: list[str]) -> list[str]:
    """The command line of a row."""
    options = ["--teacher", str(demo_teacher()), "--lang", "tr", "--corpus", str(data / "text/{lang}.txt.gz")]
    for name in TURKISH:
        options += ["--corpus", str(data / f"text-tr/{name}.txt.gz")]
    options += ["--parallel", str(data / "bitext/en-tr-train.tsv.gz"), *extra]
    for name in STSB:
        options += ["--sts", str(data / f"sts/{name}.tsv.gz")]
    return [*options, "--vocab-size", "32000", "--distill-limit", "0", "--output", str(output)]


def measure(data: Path, output: Path) -> dict[str, Any]:
    """The figures of a finished run."""
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    rows = {(row["task"], row["metric"]): row for row in report["evaluation"]}
    tokens = {}
    for lang in ("tr", "en"):
        texts = [row[s] for row in table(data / f"sts/stsb-{lang}-test.tsv.gz") for s in ("sentence1", "sentence2")]
        for name, folder in (("teacher", demo_teacher()), ("student", output / "student")):
            figures = measure_tokens(TokenizerSpec.read(folder).load(), texts, lang, "[UNK]")
            tokens[lang, name] = figures["tokens_per_word"]
    written = (output / "report.json").stat().st_mtime
    return {"report": report, "rows": rows, "tokens": tokens, "written": written}


def section(title: str, shown: str, found: dict[str, Any]) -> list[str]:
    """Markdown of a row of experiments."""
    report, rows, tokens = found["report"], found["rows"], found["tokens"]
    written = time.strftime("%Y-%m-%d", time.localtime(found["written"]))
    lines = [
        f"### {title}",
        "",
        f"Measured on {written}.",
        "",
        "```",
        shown,
        "```",
        "",
        "| measure | teacher | clone | student |",
        "|---|---:|---:|---:|",
    ]
    for name in STSB:
        row = rows[f"STS {name.removesuffix('-test')}", "spearman"]
        lines.append(f"| {row['task']}, test, n={row['n']}, Spearman x100 | {_scores(row)} |")
    for lang in ("tr", "en"):
        teacher, student = tokens[lang, "teacher"], tokens[lang, "student"]
        lines.append(f"| tokens per word, STSb {lang} sentences | {teacher:.2f} | {student:.2f} | {student:.2f} |")
    speed = {model: report["costs"][model]["sentences"]["texts_per_second"] for model in MODELS}
    values = " | ".join(f"{value:.0f}" for value in speed.values())
    lines.append(f"| Turkish sentences per second (fp32, medians in turns) | {values} |")
    for task, metric in (("translations found", "accuracy tr-en"), ("retrieval sample (tr)", "recall@1")):
        row = rows[task, metric]
        lines.append(f"| {task}, {row['split']}, n={row['n']}, {metric} x100 | {_scores(row)} |")
    english = {model: rows["STS stsb-en", "spearman"]["models"][model]["value"] for model in MODELS}
    distill, minutes = report["distill"], sum(report["timings"].values()) / 60
    lines += [
        "",
        f"English keeps {english['student'] / english['teacher']:.1%} of the teacher; "
        f"speed {speed['student'] / speed['teacher']:.2f} times the teacher's; "
        f"{report['student']['params'] / 1e6:.1f}M parameters of {report['teacher']['params'] / 1e6:.1f}M.",
        f"{distill['steps']} steps, {distill['tokens']:,} tokens in {distill['precision']}, "
        f"backbone share {report['config']['distill']['backbone_lr_scale']}, "
        f"held-out cosine {distill['cosine_before']:.3f} -> {distill['cosine_after']:.3f}; "
        f"{minutes:.0f} minutes for all stages ("
        + ", ".join(f"{stage} {report['timings'][stage] / 60:.1f}" for stage in report["timings"])
        + ").",
        "",
    ]
    return lines


def _scores(row: dict[str, Any]) -> str:
    return " | ".join(f"{100 * row['models'][model]['value']:.1f}" for model in MODELS)


def main() -> None:
    """Run what is asked for and write the document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("runs"))
    parser.add_argument("--only", choices=["bitext", "bitext+stsb", "none"], help="none: write from what is there")
    args = parser.parse_args()
    pairs = args.output / "stsb-train-pairs.tsv"
    count = write_stsb_pairs(args.data, pairs)
    rows = {
        "bitext": ("Parallel text alone", TRAINING),
        "bitext+stsb": (
            f"With {count:,} unlabelled STSb train sentence pairs",
            ["--parallel", str(pairs), *TRAINING],
        ),
    }
    old = read_section("results.md", "results")
    text = ["Written by `python benchmarks/results.py --data DATA`.", ""]
    for name, (title, extra) in rows.items():
        output = args.output / name
        line = command(args.data, output, extra)
        if args.only in (None, name):
            subprocess.run([sys.executable, "-c", "from hub_tools.cli import run; run()", *line], check=True)
        if (output / "report.json").exists():
            shown = (
                shlex.join(["hub-distill", *line])
                .replace(str(args.data), "DATA")
                .replace(str(demo_teacher()), "MINILM")
            )
            text += section(title, shown.replace(str(args.output), "runs"), measure(args.data, output))
        else:
            text += earlier(title, old)
    write_section("results.md", "results", text)


def earlier(title: str, old: str) -> list[str]:
    """The section that an earlier call wrote, when its run is no longer there."""
    sections = old.split("### ")
    return [f"### {found.rstrip()}\n" for found in sections if found.startswith(title)]


if __name__ == "__main__":
    main()
