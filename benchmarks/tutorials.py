"""Follow the tutorials of docs/ as a reader would, and write their figures into the pages.

    python -m benchmarks.tutorials --data DATA --e5 E5 [--work DIR] [--only law czech bilingual turkish]

E5 is a folder with multilingual-e5-small. DATA has the files that the commands name. Every command of a page is run as
the page shows it, by bash, in a folder of its own; a tutorial that was followed to its end is not followed again.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.document import table, write_section
from hub_tools.core.files import read_json, write_json

# Training of a minute or so: a tutorial shows the way, docs/results.md what more text and time give.
SHORT = "--steps 60 --batch-tokens 1024 --distill-limit 300"


class Tutorial(NamedTuple):
    """A page, what its reader has in the beginning, the commands, and the table at the end."""

    document: str
    prepare: Callable[[Path, Path], None]
    commands: list[str]
    figures: Callable[[Path], list[str]]


def texts(file: Path) -> list[str]:
    """Return the lines of a gzipped text."""
    return gzip.decompress(file.read_bytes()).decode("utf-8").splitlines()


def write_texts(file: Path, lines: list[str]) -> None:
    """Write a text, a line each."""
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def law(data: Path, work: Path) -> None:
    """Statutes, and as many sentences of general text; every tenth statute sentence is left to measure on."""
    statutes = texts(data / "text-tr/law.txt.gz")
    learned = [line for number, line in enumerate(statutes) if number % 10]
    write_texts(work / "law.txt", learned)
    write_texts(work / "unseen-law.txt", statutes[::10])
    general = texts(data / "text-tr/wikipedia.txt.gz")
    write_texts(work / "general.txt", general[: len(learned)])
    write_texts(work / "unseen-general.txt", general[-1000:])


def law_figures(work: Path) -> list[str]:
    """Return tokens per word of both tokenizers on both kinds of text."""
    rows = [["tokens per word, text that no tokenizer has seen", "teacher", "general", "law"]]
    for kind in ("law", "general"):
        found = read_json(work / f"on-{kind}/fertility.json")["text"]["tr"]
        rows.append([kind, *(f"{figures['tokens_per_word']:.2f}" for figures in found.values())])
    return table(rows)


def czech(data: Path, work: Path) -> None:
    """A folder of texts as an old Windows program leaves them."""
    folder = work / "old"
    folder.mkdir()
    lines = [line for line in texts(data / "text/cs.txt.gz") if _fits(line)]
    for number in range(4):
        content = "".join(f"{line}\r\n" for line in lines[number::4])
        (folder / f"chapter-{number + 1}.txt").write_bytes(content.encode("cp1250"))


def czech_figures(work: Path) -> list[str]:
    """Return what the first command said, and what the tokenizer costs after the last."""
    said = (work / "log.txt").read_text(encoding="utf-8").splitlines()
    report = read_json(work / "student/report.json")
    tokens, read = report["tokenizer"]["fertility"]["cs"], report["corpus"]["text"]["cs"]
    return [
        "The first command says:",
        "",
        f"    {next(line for line in said if line.startswith('Error: '))}",
        "",
        "The last one:",
        "",
        *table(
            [
                ["Czech", "teacher", "student"],
                ["tokens per word", *(f"{tokens[m]:.2f}" for m in ("teacher", "student"))],
            ]
        ),
        "",
        f"{read['kept']:,} of {read['read']:,} texts were kept.",
    ]


def _fits(line: str) -> bool:
    try:
        line.encode("cp1250")
    except UnicodeEncodeError:
        return False
    return True


def bilingual(data: Path, work: Path) -> None:
    """Text of both languages, and a part of the STS benchmark in each."""
    for lang in ("pt", "en"):
        write_texts(work / f"{lang}.txt", texts(data / f"text/{lang}.txt.gz")[:5000])
        write_texts(work / f"sts-{lang}.tsv", texts(data / f"sts/stsb-{lang}-test.tsv.gz")[:301])


def turkish(data: Path, work: Path) -> None:
    """Turkish and English text, some pairs, and a part of the STS benchmark."""
    for lang in ("tr", "en"):
        write_texts(work / f"{lang}.txt", texts(data / f"text/{lang}.txt.gz")[:5000])
    write_texts(work / "en-tr.tsv", texts(data / "bitext/en-tr-train.tsv.gz")[:3000])
    write_texts(work / "sts-tr.tsv", texts(data / "sts/stsb-tr-test.tsv.gz")[:301])


def run_figures(work: Path) -> list[str]:
    """Return what changed from teacher to student, as report.md has it."""
    report = read_json(work / "student/report.json")
    models = [name for name in ("teacher", "trim", "clone", "student") if name in report["costs"]]
    rows = [["measure", *models]]
    for row in report["evaluation"]:
        if row["is_main"]:
            figures = (row["models"].get(name) for name in models)
            cells = ["" if figure is None else f"{figure['value']:.3f}" for figure in figures]
            rows.append([f"{row['task']}, {row['metric']}, n={row['n']:,}", *cells])
    costs = [report["costs"][name] for name in models]
    rows.append(["tokens per word", *(f"{cost['tokens_per_word']:.2f}" for cost in costs)])
    millions = [(cost["embedding_params"] + cost["other_params"]) / 1e6 for cost in costs]
    rows.append(["million parameters", *(f"{number:.1f}" for number in millions)])
    minutes = sum(report["timings"].values()) / 60
    return [*table(rows), "", f"{report['distill']['steps']} steps; {minutes:.0f} minutes for all stages."]


def tutorials() -> dict[str, Tutorial]:
    """Return all of them by name."""
    both = "--tokenizer MINILM --tokenizer general/tokenizer --tokenizer law/tokenizer"
    czech_tokenizer = (
        "hub-distill tokenizer --teacher MINILM --lang cs --vocab-size 16384 --learn 8192 --output student"
    )
    make = "hub-distill tokenizer --teacher MINILM --lang tr --vocab-size 16384 --learn 8192"
    return {
        "law": Tutorial(
            "domain.md",
            law,
            [
                f"{make} --corpus general.txt --output general",
                f"{make} --corpus law.txt --output law",
                f"hub-distill fertility --lang tr {both} --text unseen-law.txt --output on-law",
                f"hub-distill fertility --lang tr {both} --text unseen-general.txt --output on-general",
            ],
            law_figures,
        ),
        "czech": Tutorial(
            "corpus.md",
            czech,
            [
                f"{czech_tokenizer} --corpus old || true",
                "mkdir new",
                'for file in old/*; do iconv -f WINDOWS-1250 -t UTF-8 "$file" > "new/${file#old/}"; done',
                f"{czech_tokenizer} --corpus new",
            ],
            czech_figures,
        ),
        "bilingual": Tutorial(
            "bilingual.md",
            bilingual,
            [
                "hub-distill --teacher E5 --lang pt,en --corpus '{lang}.txt' --vocab-size 32768 --learn 0 "
                f"--sts sts-pt.tsv --sts sts-en.tsv {SHORT} --output student"
            ],
            run_figures,
        ),
        "turkish": Tutorial(
            "choosing.md",
            turkish,
            [
                "hub-distill --teacher E5 --lang tr --corpus '{lang}.txt' --parallel en-tr.tsv --vocab-size 32768 "
                f"--learn 0 --sts sts-tr.tsv {SHORT} --output student"
            ],
            run_figures,
        ),
    }


def follow(tutorial: Tutorial, work: Path, places: dict[str, Path], data: Path) -> None:
    """Run the commands of a tutorial, each as it is shown, and keep what they say in log.txt.

    Raises:
        SystemExit: a command failed.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    tutorial.prepare(data, work)
    begin, said = time.monotonic(), []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in tutorial.commands:
        real = command
        for name, place in places.items():
            real = real.replace(name, shlex.quote(str(place)))
        done = subprocess.run(
            ["bash", "-c", real],
            cwd=work,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        said.append(done.stderr)
        (work / "log.txt").write_text("\n".join(said), encoding="utf-8")
        if done.returncode:
            raise SystemExit(f"{command}\n{done.stderr[-3000:]}")
    write_json(work / "followed.json", {"day": time.strftime("%Y-%m-%d"), "minutes": (time.monotonic() - begin) / 60})


def section(tutorial: Tutorial, work: Path) -> list[str]:
    """Return what is written of a tutorial that was followed."""
    followed = read_json(work / "followed.json")
    return [
        "```bash",
        *(command.removesuffix(" || true") for command in tutorial.commands),
        "```",
        "",
        *tutorial.figures(work),
        "",
        f"Followed on {followed['day']}, {followed['minutes']:.0f} minutes on two CPU cores that had other work too; "
        "written by `python -m benchmarks.tutorials`.",
    ]


def main() -> None:
    """Follow the tutorials that are asked for, and write their pages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--e5", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/tutorials"))
    parser.add_argument("--only", nargs="*", choices=tutorials(), default=[*tutorials()])
    args = parser.parse_args()
    from hub_tools.models.resolve import bundled_teacher

    places = {"MINILM": bundled_teacher(), "E5": args.e5.resolve()}
    for name in args.only:
        tutorial, work = tutorials()[name], args.work / name
        if not (work / "followed.json").exists():
            follow(tutorial, work, places, args.data)
        write_section(tutorial.document, "tutorial", section(tutorial, work))


if __name__ == "__main__":
    main()
