"""What `hub-distill evaluate` says of two teachers and a trim on all Turkish sets; for docs/results.md.

    python -m benchmarks.evaluation --teacher E5 --data DATA [--work DIR] [--only xquad sib200 ...]

E5 is a folder with multilingual-e5-small. Its trim has 32,768 tokens, chosen by Turkish and English text. WORK is
emptied of an earlier evaluation, so that the time is that of a whole one; the trim is found again. Then mteb's own
classes score the same vectors, and the largest difference is written too; and E5 searches NTREX without its prompts.
`--only` takes the sets with one of these words in their names; `--again` writes from an earlier evaluation.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from benchmarks.document import table, write_section
from hub_tools.core.files import read_json, write_json
from hub_tools.models.resolve import bundled_teacher

VOCAB, MAX_TOKENS = 32768, 512
BITEXT = ("ntrex128", "flores200-devtest", "ud-pud", "tatoeba-laser", "newstest2016-en-tr", "newstest2017-en-tr")
SETS = {
    "--sts": ["sts/stsb-tr-test.tsv.gz", "sts/stsb-tr-google-test.tsv.gz"],
    "--retrieval": [
        "retrieval/xquad-questions.tsv.gz,retrieval/xquad-contexts.tsv.gz",
        "retrieval/tquad-train-tr-questions.tsv.gz,retrieval/tquad-train-tr-contexts.tsv.gz",
    ],
    "--bitext": [f"bitext/{name}.tsv.gz" for name in BITEXT],
    "--classification": [f"classification/{name}.tsv.gz" for name in ("sib200", "newscat-tr", "atis-intent-tr")],
}


def hub_distill(*args: str) -> None:
    """Run a command."""
    subprocess.run([sys.executable, "-c", "from hub_tools.cli import run; run()", *args], check=True)


def make_trim(teacher: Path, data: Path, work: Path) -> None:
    """Trim the teacher to the tokens that Turkish and English text use most, to the folder run/clone."""
    text = work / "text"
    text.mkdir(parents=True, exist_ok=True)
    for lang in ("tr", "en"):
        shutil.copyfile(data / f"text/{lang}.txt.gz", text / f"{lang}.txt.gz")
    options = ["--teacher", str(teacher), "--lang", "tr", "--corpus", str(text / "{lang}.txt.gz")]
    hub_distill("clone", *options, "--vocab-size", str(VOCAB), "--learn", "0", "--output", str(work / "run"))


def evaluation_options(data: Path, only: Sequence[str]) -> list[str]:
    """Return the options that name all Turkish sets, or some of them."""
    options = []
    for option, sets in SETS.items():
        for files in sets:
            if not only or any(word in files for word in only):
                options += [option, ",".join(str(data / file) for file in files.split(","))]
    return options


def mteb_difference(out: Path) -> tuple[int, float]:
    """Return how many main scores mteb wrote, and the largest difference to those of the table, x100."""
    rows = read_json(out / "scores.json")["rows"]
    differences = []
    for file in (out / "mteb").glob("*/*.json"):
        for part in chain.from_iterable(read_json(file)["scores"].values()):
            # Of translations mteb's main score is F1, of either direction.
            own = [row for row in rows if file.stem in (_name(row["task"]), _name(f"{row['task']} {row['split']}"))]
            (row,) = [row for row in own if row["metric"] == f"f1 {part['hf_subset']}"] or own[:1]
            differences.append(100 * abs(row["models"][file.parent.name]["value"] - part["main_score"]))
    return len(differences), max(differences)


def _name(task: str) -> str:
    """Return the name that a task has for mteb."""
    return re.sub(r"[^\w.]+", "-", task).strip("-")


def without_prompts(teacher: Path, data: Path, work: Path) -> float:
    """Return how many translations of NTREX a model finds that reads no prompt, x100."""
    plain, out = work / "plain", work / "scores-plain"
    if not (out / "scores.json").exists():
        shutil.copytree(teacher, plain, dirs_exist_ok=True)
        settings = plain / "config_sentence_transformers.json"
        write_json(settings, {**read_json(settings), "prompts": {}, "default_prompt_name": None})
        hub_distill("evaluate", str(plain), "--lang", "tr", "--output", str(out), *evaluation_options(data, ["ntrex"]))
    rows = read_json(out / "scores.json")["rows"]
    return next(100 * float(row["models"]["plain"]["value"]) for row in rows if row["metric"] == "accuracy tr-en")


def section(out: Path, names: Sequence[str], only: Sequence[str], minutes: float) -> list[str]:
    """Markdown of what was measured."""
    found, (count, difference) = read_json(out / "scores.json"), mteb_difference(out)
    rows = [["task", *names]]
    for row in found["rows"]:
        if row["is_main"] or row["metric"] == "recall@1":
            values = [figure and figure["value"] for figure in row["models"].values()]
            cells = ["" if value is None else f"{100 * value:.1f}" for value in values]
            rows.append([f"{row['task']}, {row['metric']} (n={row['n']:,})", *cells])
    some = f" --only {' '.join(only)}" if only else ""
    command = f"hub-distill evaluate MINILM E5 TRIM --lang tr --max-tokens {MAX_TOKENS}"
    return [
        f"Written by `python -m benchmarks.evaluation --teacher E5 --data DATA{some}` on {time.strftime('%Y-%m-%d')}:",
        f"`{command}`, {len(found['rows'])} measures, costs and smaller vectors in {minutes:.1f} minutes;",
        f"{found['hardware']}, at most {found['longest']:,} tokens of a text. Scores x100. Of {count} main scores that "
        f"mteb's own classes gave for the same vectors (`--mteb files`), none differs by more than {difference:.4f}.",
        "",
        *table(rows),
    ]


def main() -> None:
    """Measure, then write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("evaluation-benchmark"))
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--again", action="store_true")
    args = parser.parse_args()
    trim, out = args.work.absolute() / "run" / "clone", args.work / "scores"
    models = [str(bundled_teacher()), str(args.teacher), str(trim)]
    measure = ["evaluate", *models, "--lang", "tr", "--max-tokens", str(MAX_TOKENS), "--output", str(out)]
    measure += evaluation_options(args.data, args.only)
    took = args.work / "minutes.json"
    if not args.again:
        make_trim(args.teacher, args.data, args.work.absolute())
        shutil.rmtree(out, ignore_errors=True)
        started = time.monotonic()
        hub_distill(*measure)
        write_json(took, (time.monotonic() - started) / 60)
    if not (out / "mteb").exists():
        hub_distill(*measure, "--mteb", "files")
    names = ["all-MiniLM-L6-v2", "multilingual-e5-small", f"its trim, {VOCAB:,} tokens"]
    lines = section(out, names, args.only, read_json(took))
    found = without_prompts(args.teacher, args.data, args.work)
    lines += ["", f"Without its prompts multilingual-e5-small finds {found:.2f}% of the translations of NTREX, tr-en."]
    write_section("results.md", "evaluation", lines)


if __name__ == "__main__":
    main()
