"""Distil real teachers for several languages on real text, and write what they score into docs/results.md.

    python -m benchmarks.results --data DATA --e5 E5 [--peer PEER] [--output DIR] [--only NAME ...]

E5 is a folder with multilingual-e5-small, PEER one with somebody's trim of it to Portuguese and English. DATA has the
files that the commands in docs/results.md name. No label is used in training, and hub-distill drops the texts of all
tests from what it trains on. A run that is finished is not done again; `--only` with no name writes the document from
the runs that are there. `--check` leaves the document as it is and fails where a run gives clearly less than it says.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import summary
from benchmarks.bars import bars_of_results, below
from benchmarks.document import read_section, table, write_section
from benchmarks.tables import rows_of
from hub_tools.core.files import read_json
from hub_tools.models.resolve import bundled_teacher
from hub_tools.reporting.report import read_report
from hub_tools.reporting.scores import verdict

TURKISH = ("wikipedia", "wikipedia-2", "news", "news-columns", "tatoeba", "common-voice", "law", "techdocs")
# Languages with a set of the STS benchmark; those of them with questions and passages of XQuAD.
E5_LANGUAGES = ("tr", "fr", "it", "nl", "pt", "ru", "zh")
XQUAD = ("tr", "ru", "zh")
# Chosen on STSb dev: see docs/results.md.
MINILM_TRAINING = ["--vocab-size", "32000", "--distill-limit", "0", "--steps", "1200", "--batch-tokens", "2048"]
_OVERVIEW = "multilingual-e5-small in all languages that were tried"
_PEER = "The Portuguese student beside a trim that somebody published"
MODELS = {"teacher": "teacher", "trim": "trim", "clone": "clone", "student": "student"}


class Run(NamedTuple):
    """A run: what is written above its table, and the options of its command."""

    title: str
    options: list[str]


def write_stsb_pairs(data: Path, out: Path) -> None:
    """Write English and Turkish STS train sentences as unlabelled parallel text."""
    sides = ("sentence1", "sentence2")
    english, turkish = (
        [row[side] for row in rows_of(data / f"sts/stsb-{lang}-train.tsv.gz") for side in sides]
        for lang in ("en", "tr")
    )
    pairs = dict.fromkeys(zip(english, turkish, strict=True))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("en\ttr\n" + "".join(f"{en}\t{tr}\n" for en, tr in pairs), encoding="utf-8")


def tests(data: Path, lang: str) -> list[str]:
    """Return the options that name the test sets of a language."""
    sets = [("--sts", f"sts/stsb-{code}-test") for code in (lang, "en")]
    sets += [("--bitext", "bitext/ntrex128"), ("--classification", "classification/sib200")]
    options = [part for option, name in sets for part in (option, str(data / f"{name}.tsv.gz"))]
    retrieval = [("xquad-questions", "xquad-contexts")] if lang in XQUAD else []
    if lang == "tr":
        retrieval.append(("tquad-train-tr-questions", "tquad-train-tr-contexts"))
        options += ["--classification", str(data / "classification/newscat-tr.tsv.gz")]
    for files in retrieval:
        options += ["--retrieval", ",".join(str(data / f"retrieval/{name}.tsv.gz") for name in files)]
    return options


def text(data: Path, lang: str) -> list[str]:
    """Return the options that name all text of a language, and a little of 56 others."""
    options = ["--lang", lang, "--corpus", str(data / "text/{lang}.txt.gz")]
    if lang == "tr":
        for name in TURKISH:
            options += ["--corpus", str(data / f"text-tr/{name}.txt.gz")]
        options += ["--parallel", str(data / "bitext/en-tr-train.tsv.gz")]
    return options


def runs(data: Path, e5: Path, output: Path) -> dict[str, Run]:
    """Return all runs by their names."""
    minilm = ["--teacher", str(bundled_teacher()), *text(data, "tr"), *MINILM_TRAINING, *tests(data, "tr")]
    minilm += ["--parallel", str(data / "bitext/en-tr-more.tsv.gz")]
    pairs = output / "stsb-train-pairs.tsv"
    write_stsb_pairs(data, pairs)
    found = {
        "minilm-tr": Run("Parallel text alone", minilm),
        "minilm-tr-stsb": Run("With 10,204 unlabelled STSb train sentence pairs", [*minilm, "--parallel", str(pairs)]),
    }
    for lang in E5_LANGUAGES:
        options = ["--teacher", str(e5), *text(data, lang), "--vocab-size", "32768", *tests(data, lang)]
        found[f"e5-{lang}"] = Run(f"multilingual-e5-small, {lang}, 32,768 tokens", options)
    return found


def against_peer(peer: Path, data: Path, output: Path) -> list[str]:
    """Return what is written of a student beside a model that somebody trimmed, both measured now."""
    out = output / "peer"
    options = ["--lang", "pt", "--output", str(out), *tests(data, "pt")]
    hub_distill("evaluate", str(peer), str(output / "e5-pt" / "student"), *options)
    found = read_json(out / "scores.json")
    cells = [["test", "published trim", "student"]]
    cells += [
        [f"{row['task']}, {row['metric']} (n={row['n']:,})", *map(_figure, row["models"].values())]
        for row in found["rows"]
        if row["is_main"]
    ]
    params = [cost["embedding_params"] + cost["other_params"] for cost in found["costs"].values()]
    cells.append(["million parameters", *(f"{count / 1e6:.1f}" for count in params)])
    return [f"### {_PEER}", "", f"Measured on {time.strftime('%Y-%m-%d')}, {found['hardware']}.", "", *table(cells), ""]


def hub_distill(*args: str) -> None:
    """Run a command."""
    subprocess.run([sys.executable, "-c", "from hub_tools.cli import run; run()", *args], check=True)


def section(run: Run, shown: str, output: Path) -> list[str]:
    """Return what is written of a finished run."""
    report = read_json(output / "report.json")
    rows = [row for row in report["evaluation"] if row["prompts"] and row["split"] != "heldout"]
    models = [name for name in MODELS if name in rows[0]["models"]]
    cells = [["test", *models]]
    for row in rows:
        if row["is_main"] or row["metric"] == "recall@1":
            name = f"{row['task']}, {row['metric']} (n={row['n']:,})"
            cells.append([name, *(_figure(row["models"][model]) for model in models)])
    costs, distill = report["costs"], report["distill"]
    for name, value in _costs(report["config"]["lang"][0]).items():
        cells.append([name, *(value(costs[model]) for model in models)])
    kept = "The trim is the student. " if distill["kept_trim"] else ""
    minutes = {stage: seconds / 60 for stage, seconds in report["timings"].items()}
    return [
        f"### {run.title}",
        "",
        f"Measured on {time.strftime('%Y-%m-%d', time.localtime((output / 'report.json').stat().st_mtime))}.",
        "",
        "```",
        shown,
        "```",
        "",
        *table(cells),
        "",
        verdict(read_report(output).evaluation, student="student", teacher="teacher"),
        "",
        f"{kept}{distill['steps']} steps, {distill['tokens']:,} tokens in {distill['precision']} on "
        f"{distill['device']}, held-out cosine {distill['cosine_before']:.4f} -> {distill['cosine_after']:.4f}; "
        f"{sum(minutes.values()):.0f} minutes (" + ", ".join(f"{name} {n:.1f}" for name, n in minutes.items()) + ").",
        "",
    ]


def _figure(figure: dict[str, Any] | None) -> str:
    return "" if figure is None else f"{100 * figure['value']:.1f}"


def _costs(lang: str) -> dict[str, Any]:
    return {
        "million parameters": lambda cost: f"{(cost['embedding_params'] + cost['other_params']) / 1e6:.1f}",
        f"tokens per word, {lang}": lambda cost: f"{cost['tokens_per_word']:.2f}",
        "sentences per second, in turns": lambda cost: f"{cost['sentences']['texts_per_second']:.0f}",
    }


def main() -> None:
    """Do the runs that are asked for and not finished, and write the document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--e5", type=Path, required=True)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs"))
    parser.add_argument("--only", nargs="*", help="names of runs, such as e5-tr; none: write from what is there")
    parser.add_argument("--check", action="store_true", help="compare with the document instead of writing it")
    args = parser.parse_args()
    if args.check:
        sys.exit("\n".join(check(runs(args.data, args.e5, args.output), args.only, args.output)) or 0)
    places = {args.data: "DATA", bundled_teacher(): "MINILM", args.e5: "E5", args.output: "runs"}
    old = read_section("results.md", "results")
    written = ["Written by `python -m benchmarks.results --data DATA --e5 E5`.", ""]
    for name, run in runs(args.data, args.e5, args.output).items():
        output = args.output / name
        command = [*run.options, "--output", str(output)]
        if args.only is None or name in args.only:
            hub_distill(*command)
        shown = shlex.join(["hub-distill", *command])
        for place, stands_for in places.items():
            shown = shown.replace(str(place), stands_for)
        is_done = (output / "report.json").exists()
        written += section(run, shown, output) if is_done else earlier(run.title, old)
    written += against_peer(args.peer, args.data, args.output) if args.peer else earlier(_PEER, old)
    overview = summary.overview("\n".join(written).split("### "))
    first = next(number for number, line in enumerate(written) if line.startswith("### multilingual-e5-small"))
    written[first:first] = [f"### {_OVERVIEW}", "", "x100, teacher → student of 32,768 tokens:", "", *overview, ""]
    write_section("results.md", "results", written)
    summary.write()


def check(known: dict[str, Run], names: list[str] | None, output: Path) -> list[str]:
    """Do runs, all if no names are given, and return a sentence for each figure that is below the document's."""
    problems = []
    for name in names or known:
        title, options = known[name]
        hub_distill(*options, "--output", str(output / name))
        report = read_json(output / name / "report.json")
        problems += [f"{name}: {said}" for said in below(report, bars_of_results(title), "docs/results.md")]
    return problems


def earlier(title: str, old: str) -> list[str]:
    """Return what an earlier call wrote of a run that is no longer there."""
    return [f"### {found.rstrip()}\n" for found in old.split("### ") if found.startswith(title)]


if __name__ == "__main__":
    main()
