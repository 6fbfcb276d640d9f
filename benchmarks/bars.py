"""Compare a run of `hub-distill demo` with what README.md says that it gives, and fail where it gives clearly less.

usage: python scripts/quality_bars.py demo-run
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

README = Path(__file__).parents[1] / "README.md"
# Points out of 100 that another machine's rounding, or its number of threads, may cost on sets of so few items.
TOLERANCE = 8.0


def bars() -> dict[str, float]:
    """Return what the student reached, x100, by the task as README.md shows it."""
    block = README.read_text(encoding="utf-8").partition("<!-- demo: begin -->")[2].partition("<!-- demo: end -->")[0]
    head = next(line.split() for line in block.splitlines() if "student" in line)
    # Tasks end with a mark that says whether the change is more than noise.
    rows = re.findall(r"^(\S.*), n=\d+ +([\d. ]+) [+-][\d.]+ [✓✗=?]$", block, re.MULTILINE)
    return {name: float(values.split()[head.index("student")]) for name, values in rows}


def below(report: dict[str, Any]) -> list[str]:
    """Return a sentence for each task at which the student of a report is below its bar."""
    figures = {f"{row['task']}, {row['metric']}": row["models"]["student"] for row in report["evaluation"]}
    found = {name: 100 * figure["value"] for name, figure in figures.items() if figure}
    said = []
    for name, bar in bars().items():
        value = found.get(name)
        if value is None or value < bar - TOLERANCE:
            said.append(f"{name}: {'not measured' if value is None else f'{value:.1f}'}; README.md has {bar:.1f}.")
    return said


if __name__ == "__main__":
    problems = below(json.loads((Path(sys.argv[1]) / "report.json").read_text(encoding="utf-8")))
    sys.exit("\n".join(problems) or 0)
