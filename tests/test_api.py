"""The public functions, by the examples of their docstrings and by what they must not touch."""

from __future__ import annotations

import doctest
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hub_tools
from hub_tools import api
from hub_tools.core.plain import to_plain
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.results import EvaluationRow, Figure


@pytest.fixture(scope="module")
def names(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the examples take for granted."""
    from transformers import AutoTokenizer

    turkish = [row["tr"] for row in read_table(sample_file("tr-en.tsv"))][:200]
    folder = tmp_path_factory.mktemp("api")
    return {
        **vars(hub_tools.api),
        "teacher": tiny_teacher,
        "turkish": turkish,
        "folder": folder,
        "sts": str(sample_file("sts.tsv")),
        "AutoTokenizer": AutoTokenizer,
    }


def test_the_examples_do_what_they_say(names: dict[str, object]) -> None:
    order = ("distill", "adapt_tokenizer", "clone", "build_corpus", "embed", "train", "evaluate")
    assert sorted(order) == sorted(set(hub_tools.__all__) - {"RunConfig", "__version__"})
    runner, parser = doctest.DocTestRunner(), doctest.DocTestParser()
    handlers, environment = list(logging.getLogger("hub_tools").handlers), dict(os.environ)
    # One after another: each uses what the one before made.
    for name in order:
        example = parser.get_doctest(getattr(api, name).__doc__, names, name, None, 0)
        assert example.examples
        runner.run(example, clear_globs=False)
        names.update(example.globs)
    assert runner.failures == 0
    assert logging.getLogger("hub_tools").handlers == handlers
    assert {key: os.environ.get(key) for key in environment} == environment


def test_scores_are_a_table_of_their_own() -> None:
    figure = Figure(value=0.5, low=0.4, high=0.6)
    row = EvaluationRow(task="STS", split="test", metric="spearman", n=10, models={"a": figure, "b": None})
    scores = api.Scores([row])
    assert scores.to_dict() == {"rows": [to_plain(row)]}
    assert "| STS, spearman (test, n=10) | 50.0 |  |" in scores.to_markdown()


@pytest.mark.parametrize(
    "code", ["import hub_tools; hub_tools.RunConfig", "from hub_tools.cli import main; main(['--help'], 'hub-distill')"]
)
def test_the_package_and_its_help_import_no_heavy_library(code: str) -> None:
    """These take seconds; without them both are there in less than half a second (docs/performance.md)."""
    heavy = "{'torch', 'transformers', 'sentence_transformers', 'datasets', 'numpy', 'pyarrow', 'huggingface_hub'}"
    at_exit = f"import atexit, sys; atexit.register(lambda: print('heavy:', *{heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", f"{at_exit}; {code}"], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "heavy:"
