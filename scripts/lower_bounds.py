"""Check that the lower bounds in pyproject.toml are those that are installed here: a lower one could not be.

usage: python scripts/lower_bounds.py, in an environment made with `uv pip install --resolution lowest-direct`
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def wrong_bounds() -> list[str]:
    """Return a sentence for each dependency whose bound is another than the version that is installed."""
    said = []
    for line in tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]:
        need = Requirement(line)
        bound = next(Version(part.version) for part in need.specifier if part.operator == ">=")
        installed = Version(version(need.name))
        if bound != Version(installed.public):
            said.append(f"{need.name}: {bound} is allowed, and the lowest that could be installed is {installed}.")
    return said


if __name__ == "__main__":
    sys.exit("\n".join(wrong_bounds()) or 0)
