"""The notebook: made from a script, and the script runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scripts.notebook import SCRIPT, notebook
from tests.commands import finish, succeeded


def test_the_notebook_is_the_script() -> None:
    made = json.loads(SCRIPT.with_suffix(".ipynb").read_text(encoding="utf-8"))
    assert made == notebook(), "run: python scripts/notebook.py > notebooks/student.ipynb"
    code = ["".join(cell["source"]) for cell in made["cells"] if cell["cell_type"] == "code"]
    assert code[0] == '%pip install "hub-tools[demo]"'
    for cell in code[1:]:
        compile(cell, "cell", "exec")


def test_the_script_runs(tiny_teacher: Path, tmp_path: Path) -> None:
    settings = {"TEACHER": str(tiny_teacher), "STEPS": "2", "VOCAB_SIZE": "4096", "OUTPUT": "run"}
    done = finish([sys.executable, str(SCRIPT)], cwd=tmp_path, **settings)
    succeeded(done)
    assert "STS sample (tr), spearman, n=100: teacher " in done.stdout
    assert "tensor([[1.0000" in done.stdout
    assert (tmp_path / "run/report.md").exists()
