"""Measure the package: its wheel, what it brings along, and how long its import takes; write docs/performance.md.

    scripts/build.sh && python -m benchmarks.package dist/*.whl

What is brought along is counted in the environment that runs this: the files of hub-tools' dependencies and of theirs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from statistics import median

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.document import table, write_section

# Time of the processor: what else the machine does is not counted.
CODE = "import time; begin = time.process_time(); {}; print(time.process_time() - begin)"
# What a user waits for -> the code.
WAITS = {
    "`import hub_tools`": "import hub_tools",
    "`from hub_tools.cli import main`, which `hub-distill --help` needs": "from hub_tools.cli import main",
}


def needed(name: str, found: dict[str, int]) -> None:
    """Add a distribution and those that it needs without extras to `found`, each with the bytes of its files."""
    name = canonicalize_name(name)
    if name in found:
        return
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return  # for another system
    paths = [Path(str(file.locate())) for file in installed.files or []]
    found[name] = sum(path.stat().st_size for path in paths if path.is_file())
    for line in installed.requires or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed(requirement.name, found)


def seconds(code: str) -> float:
    """Return the median of five runs of some code, in seconds of the processor, each in a process of its own."""
    command = [sys.executable, "-c", CODE.format(code)]
    return median(float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(5))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("wheel", type=Path)
    args = parser.parse_args()
    found: dict[str, int] = {}
    needed("hub-tools", found)
    found[canonicalize_name("hub-tools")] = 0  # here it may be a link to its sources
    torch = found.pop("torch")
    largest = sorted(found, key=lambda name: -found[name])[:5]
    rows = [["", "MB"], ["the wheel", f"{args.wheel.stat().st_size / 1e6:.2f}"]]
    rows.append([f"torch {distribution('torch').version}", f"{torch / 1e6:.0f}"])
    rows.append([f"the other {len(found) - 1} packages that it brings", f"{sum(found.values()) / 1e6:.0f}"])
    rows += [[f"of these {name}", f"{found[name] / 1e6:.0f}"] for name in largest]
    waits = [["", "seconds of the processor"], *([name, f"{seconds(code):.2f}"] for name, code in WAITS.items())]
    day = time.strftime("%Y-%m-%d")
    written = f"Measured on {day}; written by `python -m benchmarks.package dist/*.whl`."
    write_section("performance.md", "package", [*table(rows), "", *table(waits), "", written])


if __name__ == "__main__":
    main()
