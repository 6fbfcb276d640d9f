"""Compare what students of new runs reach with README.md and docs/results.md, and fail where it is clearly less.

usage: python -m benchmarks.bars demo-run      # a run of `hub-distill demo`, with README.md
docs/results.md has its own command, which compares with `below`: python -m benchmarks.results ... --check
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
# Points out of 100 that another machine's rounding, or its number of threads, may cost: on sets of less than 200 items,
# and on others.
_SMALL, _TOLERANCE_OF_SMALL, _TOLERANCE = 200, 8.0, 1.5


class Bar(NamedTuple):
    """What a student reached at a task before."""

    value: float  # x100
    n: int  # items

    @property
    def least(self) -> float:
        """What it has to reach again."""
        return self.value - (_TOLERANCE_OF_SMALL if self.n < _SMALL else _TOLERANCE)


def bars_of_demo() -> dict[str, Bar]:
    """Return the bars of the demo, by the task as README.md shows it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.partition("<!-- demo: begin -->")[2].partition("<!-- demo: end -->")[0]
    head = next(line.split() for line in block.splitlines() if "student" in line)
    # Tasks end with a mark that says whether the change is more than noise.
    rows = re.findall(r"^(\S.*), n=(\d+) +([\d. ]+) [+-][\d.]+ [✓✗=?]$", block, re.MULTILINE)
    return {name: Bar(float(values.split()[head.index("student")]), int(n)) for name, n, values in rows}


def bars_of_results(title: str) -> dict[str, Bar]:
    """Return the bars of a whole run, by the task as the table below its title in docs/results.md shows it."""
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    section = text.partition(f"\n### {title}\n")[2].partition("\n### ")[0].partition("<!--")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    found = {}
    for name, *values in rows:
        if measured := re.fullmatch(r"(.+) \(n=([\d,]+)\)", name):
            n = int(measured[2].replace(",", ""))
            found[measured[1]] = Bar(float(dict(zip(rows[0][1:], values, strict=True))["student"]), n)
    return found


def below(report: Mapping[str, Any], bars: Mapping[str, Bar], page: str) -> list[str]:
    """Return a sentence for each task at which the student of a report is below its bar, or that there are none."""
    figures = {f"{row['task']}, {row['metric']}": row["models"]["student"] for row in report["evaluation"]}
    found = {name: 100 * figure["value"] for name, figure in figures.items() if figure}
    said = [] if bars else [f"{page} has no figures of such a run, so nothing can be compared."]
    for name, bar in bars.items():
        value = found.get(name)
        if value is None or value < bar.least:
            shown = "not measured" if value is None else f"{value:.1f}"
            said.append(f"{name}: {shown}; {page} has {bar.value:.1f}, and {bar.least:.1f} is the least that passes.")
    return said


if __name__ == "__main__":
    problems = below(
        json.loads((Path(sys.argv[1]) / "report.json").read_text(encoding="utf-8")), bars_of_demo(), "README.md"
    )
    sys.exit("\n".join(problems) or 0)
