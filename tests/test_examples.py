"""The Python of the pages, run as it stands but for what would take long: another teacher, fewer tokens, less text."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from hub_tools import api
from hub_tools.corpus.readers import sample_file
from hub_tools.exporting.export import export

ROOT = Path(__file__).parents[1]


def example(page: str, begin: str) -> str:
    """The example of a page that begins with a line, fenced or indented."""
    text = (ROOT / page).read_text(encoding="utf-8")
    fenced = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = map(textwrap.dedent, re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.MULTILINE))
    (found,) = (code for code in (*fenced, *indented) if code.strip().startswith(begin))
    return found


def run_example(code: str, **names: Any) -> dict[str, Any]:
    exec(code, names)  # noqa: S102 - the examples of this repository's own pages are what is tested
    return names


def test_the_example_of_the_readme_can_be_called() -> None:
    """What it calls is the whole job, which other tests run."""
    called: dict[str, Any] = {}

    def distill(*args: Any, **options: Any) -> Any:
        called.update(inspect.signature(api.distill).bind(*args, **options).arguments)
        return type("Distilled", (), {"model": type("Model", (), {"encode": staticmethod(list)})})

    code = example("README.md", "from hub_tools import distill").replace("from hub_tools import distill", "")
    run_example(code, distill=distill)
    assert called["lang"] == "tr"
    assert {name for name in called if name != "options"} <= set(inspect.signature(api.distill).parameters)


def test_the_example_of_the_guide_makes_a_student(
    tiny_teacher: Path, pair_texts: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(sample_file("sts.tsv"), tmp_path / "stsb-tr-test.tsv")
    code = example("docs/guide.md", "from hub_tools import adapt_tokenizer")
    found = run_example(
        code.replace("32_000", "3_000"),
        teacher=str(tiny_teacher),
        tokenizer=AutoTokenizer.from_pretrained(tiny_teacher),
        turkish=pair_texts["tr"][:150],
        english=pair_texts["en"][:150],
    )
    assert len(found["training"].model.tokenizer) == 3_000
    assert (tmp_path / "student/modules.json").is_file()


def test_the_example_of_serving_gives_a_vector_for_each_text(tiny_teacher: Path, tmp_path: Path) -> None:
    export(tiny_teacher, "onnx-int8", tmp_path / "student-onnx-int8")
    code = example("docs/serving.md", "import numpy as np")
    found = run_example(code.replace('"student-onnx-int8"', repr(str(tmp_path / "student-onnx-int8"))))
    assert found["vectors"].shape == (2, 32)
