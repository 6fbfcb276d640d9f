"""Print notebooks/student.ipynb, made from notebooks/student.py, where `# %%` begins a cell.

usage: python scripts/notebook.py > notebooks/student.ipynb
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[1] / "notebooks/student.py"
_INSTALL = "# Install first, in a notebook: `%pip install "


def notebook() -> dict[str, Any]:
    """Return the notebook as plain data: the script's cells, the line that installs as a cell of its own."""
    cells = []
    for number, part in enumerate(re.split(r"^# %%", SCRIPT.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]):
        kind, _, source = part.partition("\n")
        text = source.strip("\n")
        if text.startswith(_INSTALL):
            cells.append(_cell(number, "code", text.partition("`")[2].rstrip("`")))
        elif "[markdown]" in kind:
            cells.append(_cell(number, "markdown", re.sub(r"^# ?", "", text, flags=re.MULTILINE)))
        else:
            cells.append(_cell(number, "code", text))
    return {
        "cells": cells,
        "metadata": {"accelerator": "GPU", "kernelspec": {"display_name": "Python 3", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}
    return {**cell, "execution_count": None, "outputs": []} if kind == "code" else cell


if __name__ == "__main__":
    sys.stdout.write(json.dumps(notebook(), indent=1, ensure_ascii=False) + "\n")
