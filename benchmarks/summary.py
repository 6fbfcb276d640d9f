"""Write what the first run of docs/results.md reached to the top of README.md and docs/results.md.

    python -m benchmarks.summary [--demo RUN]

`benchmarks.results` does so after each measurement. With `--demo`, README.md also gets the table of a finished
`hub-distill demo`.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from benchmarks.document import read_section, table, write_section
from hub_tools.reporting.report import read_report
from hub_tools.reporting.summary import summary_text

README = "../README.md"
DOCUMENTS = (README, "results.md")
# What a row is called here -> how its name begins in the table of the run.
_ROWS = {
    "Turkish similarity, STSb-tr test (Spearman x100)": r"STS stsb-tr\b.*spearman",
    "English similarity, STSb-en test (Spearman x100)": r"STS stsb-en\b.*spearman",
    "tokens per Turkish word": r"tokens per word,.*\btr\b",
    "Turkish sentences per second": r".*sentences per second",
    "million parameters": r"million parameters",
}


# The runs of a teacher that knows the language, and the tests of the Turkish one that are named.
_KNOWN = "multilingual-e5-small"
_TESTS = {
    "STSb-tr": "STS stsb-tr",
    "STSb-en": "STS stsb-en",
    "XQuAD-tr R@1": "retrieval xquad.*recall@1",
    "NTREX tr-en": "bitext ntrex",
}


def lines() -> list[str]:
    """Return the summary of the first run, as Markdown, and what a teacher that knows the language became."""
    runs = read_section("results.md", "results").split("### ")
    run = runs[1]
    head, *body = _cells(run)
    found = {label: row for label, pattern in _ROWS.items() for row in body if re.match(pattern, row[0], re.IGNORECASE)}
    turkish, english, tokens, speed, *_ = (_teacher_and_student(head, row) for row in found.values())
    minutes, date = re.findall(r"(\d+) minutes", run)[0], re.findall(r"Measured on ([\d-]+)", run)[0]
    names = {"teacher": "teacher", "trim": "trimmed teacher", "clone": "before training", "student": "student"}
    return [
        f"**all-MiniLM-L6-v2 made a Turkish model in {minutes} minutes on two CPU cores: "
        f"{100 * (1 - tokens[1] / tokens[0]):.0f}% fewer tokens, {speed[1] / speed[0]:.1f} times the speed, "
        f"STSb-tr {turkish[0]} → {turkish[1]}, and {100 * english[1] / english[0]:.1f}% of its English kept.**",
        "",
        *(line for run in runs if run.startswith(f"{_KNOWN}, tr,") for line in (_smaller(run), "")),
        *table([["", *(names[name] for name in head[1:])], *([label, *row[1:]] for label, row in found.items())]),
        "",
        f"Measured on {date} with the code of that day; written by `python -m benchmarks.summary`.",
    ]


def _smaller(run: str) -> str:
    """Say what became of a teacher that knows the language: its size, and each test."""
    head, *body = _cells(run)
    found = {row[0]: _teacher_and_student(head, row) for row in body}
    named = {
        name: next(values for row, values in found.items() if re.match(pattern, row))
        for name, pattern in _TESTS.items()
    }
    before, after = found["million parameters"]
    tests = ", ".join(f"{name} {first} → {second}" for name, (first, second) in named.items())
    return f"**{_KNOWN} made a Turkish model of {100 * after / before:.0f}% of its size: {tests}.**"


def overview(runs: list[str]) -> list[str]:
    """Return a table of what a teacher that knows the language became in each, from the sections of the runs."""
    rows = []
    for run in runs:
        if name := re.match(rf"{_KNOWN}, (\w+),", run):
            head, *body = _cells(run)
            tests = {_short(row[0], name[1]): " → ".join(_shown(head, row)) for row in body if row[1]}
            rows.append((name[1], tests))
    columns = [name for name in dict.fromkeys(name for _, tests in rows for name in tests) if name]
    return table(
        [["language", *columns], *([lang, *(tests.get(name, "") for name in columns)] for lang, tests in rows)]
    )


def _short(test: str, lang: str) -> str:
    """Return what a test is called in the overview, the same in all languages; nothing where it is not in it."""
    names = {rf"STS stsb-{lang}\b": "STSb", "STS stsb-en": "STSb-en", "retrieval xquad.*recall@1": "XQuAD R@1"}
    names |= {"bitext ntrex": "NTREX", "classification sib200": "SIB-200"}
    return next((name for pattern, name in names.items() if re.match(pattern, test)), "")


def _shown(head: list[str], row: list[str]) -> tuple[str, str]:
    return row[head.index("teacher")], row[head.index("student")]


def _cells(run: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in run.splitlines() if re.match(r"\| \w", line)]


def _teacher_and_student(head: list[str], row: list[str]) -> tuple[float, float]:
    teacher, student = _shown(head, row)
    return float(teacher), float(student)


def demo_lines(run: Path) -> list[str]:
    """Return what a demo ends with on the terminal."""
    return ["```text", summary_text(read_report(run), Path("demo-run")).strip("\n"), "```"]


def write() -> None:
    """Write the summary into both documents."""
    for document in DOCUMENTS:
        write_section(document, "summary", lines())


def main() -> None:
    """Write both documents."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--demo", type=Path, metavar="RUN")
    run = parser.parse_args().demo
    write()
    if run is not None:
        write_section(README, "demo", demo_lines(run))


if __name__ == "__main__":
    main()
