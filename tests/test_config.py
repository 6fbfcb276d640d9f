from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from hub_tools.config import CorpusConfig, DistillConfig, RunConfig, build, read_toml, short_name, to_toml
from hub_tools.core.errors import HubToolsError, UsageError

LEAST = {"teacher": "org/model", "lang": "tr", "output": "run"}


def test_what_is_written_is_read_as_the_same(tmp_path: Path) -> None:
    config = RunConfig(
        teacher='a "quoted" \\ name',
        lang=("tr", "en"),
        output=Path("run"),
        corpus=CorpusConfig(sources=("ş\n",), limit=3),
        distill=DistillConfig(matryoshka=(384, 128), dropout=True),
    )
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config), encoding="utf-8")
    assert build(read_toml(file)) == config
    assert tomllib.loads(to_toml(config))["corpus"] == {"sources": ["ş\n"], "parallel": [], "limit": 3}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**LEAST, "teacher": ""}, "Missing --teacher"),
        ({**LEAST, "lang": "xx"}, "Unknown language code"),
        ({**LEAST, "seed": "1"}, "seed = '1' has the wrong type; expected a whole number"),
        ({**LEAST, "precision": "fp8"}, "expected one of auto, fp32, bf16"),
        ({**LEAST, "precision": "fp16"}, "Gemma3 overflows in fp16 by construction"),
        ({**LEAST, "distill": {"steps": True}}, "distill.steps = True has the wrong type"),
        ({**LEAST, "distill": {"warmup_ratio": 1.5}}, "distill.warmup_ratio = 1.5"),
        ({**LEAST, "publish": {"only": ["weights"]}}, "publish.only names 'weights'; expected some of model"),
        ({**LEAST, "distill": {"loss": "l1"}}, "expected one of cosine, relational, mse"),
        ({**LEAST, "distill": {"matryoshka": [128, "64"]}}, "distill.matryoshka = [128, '64'] has the wrong type"),
        ({**LEAST, "distill": {"matryoshka": [128, 0]}}, "--matryoshka = 0 is too small"),
        ({**LEAST, "distill": {"epochs": float("nan")}}, "--epochs = nan is too small or not finite"),
        ({**LEAST, "distill": {"learning_rate": float("inf")}}, "--learning-rate = inf is too small or not finite"),
        ({**LEAST, "distill": {"embedding_only_steps": -1}}, "--embedding-only-steps = -1; expected 0 or more"),
        (
            {**LEAST, "distill": {"language_sampling_alpha": 2}},
            "distill.language_sampling_alpha = 2.0; expected a number",
        ),
        ({**LEAST, "tokenizer": {"vocab_size": -1}}, "--vocab-size = -1 is too small"),
        ({**LEAST, "embed": {"query_share": 1.1}}, "--query-share = 1.1; expected a number from 0 to 1"),
        ({**LEAST, "embed": {"dtype": "int8"}}, "embed.dtype = 'int8' has the wrong type; expected one of float16"),
        ({**LEAST, "embed": {"use": "x", "distill_limit": 5}}, "--distill-limit has no effect"),
        (
            {**LEAST, "embed": {"text_column": "sentence"}},
            "--text-column names a column of the dataset",
        ),
    ],
)
def test_wrong_values_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(HubToolsError, match=re.escape(message)):
        build(values)


def test_unknown_keys_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[distill]\nlearningrate = 1\n")
    with pytest.raises(UsageError, match=r"Unknown key 'learningrate'.*learning_rate"):
        read_toml(file)


@pytest.mark.parametrize(
    ("teacher", "name"),
    [
        ("org/model", "model"),
        ("org/model@refs/pr/1", "model"),
        ("model@v1", "model"),
        ("/data/a@b/teacher/", "teacher"),
        ("models/my teacher", "my teacher"),
        ("../teacher", "teacher"),
    ],
)
def test_what_folders_and_repos_are_named_after(teacher: str, name: str) -> None:
    assert short_name(teacher) == name
