from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.config import CorpusConfig, DistillConfig, EmbedConfig, RunConfig, TokenizerConfig
from hub_tools.core.errors import UsageError
from hub_tools.core.limits import limit_of
from hub_tools.core.names import short_name

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
    file.write_text(config.to_toml(), encoding="utf-8")
    assert RunConfig.from_toml(file) == config
    assert tomllib.loads(config.to_toml())["corpus"] == {"sources": ["ş\n"], "parallel": [], "limit": 3}


@given(st.text(min_size=1))
@settings(deadline=None)
def test_any_text_comes_back_from_a_file(text: str) -> None:
    config = RunConfig(teacher="org/model", lang=("tr",), embed=EmbedConfig(query_prompt=text))
    assert tomllib.loads(config.to_toml())["embed"]["query_prompt"] == text


def test_letters_that_are_not_printable_come_back_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    config = RunConfig.from_dict({**LEAST, "corpus": {"sources": ["\U000e0001\U0010ffff\x00\x7f\r\n"]}})
    file.write_bytes(config.to_toml().encode())
    assert RunConfig.from_toml(file) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**LEAST, "teacher": ""}, "Missing --teacher"),
        ({"teacher": "org/model"}, "Missing --lang"),
        ({**LEAST, "lang": "xx"}, "Unknown language code 'xx'"),
        ({**LEAST, "lang": "tr,,en"}, "Unknown language code ''"),
        ({**LEAST, "teacher": 5}, "--teacher = 5; expected text"),
        ({**LEAST, "lang": 5}, "--lang = 5; expected a list of texts"),
        ({**LEAST, "lang": [1]}, "--lang[0] = 1; expected text"),
        ({**LEAST, "output": 5}, "--output = 5; expected a path"),
        ({**LEAST, "corpus": {"sources": ["\udcff.txt"]}}, "--corpus = '\\udcff.txt' is not valid Unicode"),
        ({**LEAST, "seed": "1"}, "--seed = '1'; expected a whole number"),
        ({**LEAST, "seed": -1}, "--seed = -1; expected a whole number, at least 0"),
        ({**LEAST, "precision": "fp8"}, "--precision = 'fp8'; expected one of auto, fp32, bf16"),
        ({**LEAST, "precision": "fp16"}, "Gemma3 overflows in fp16 by construction"),
        ({**LEAST, "corpus": 5}, "corpus = 5; expected a table"),
        ({**LEAST, "corpus": {"sources": "sample"}}, "--corpus = 'sample'; expected a list of texts"),
        ({**LEAST, "distill": {"steps": True}}, "--steps = True; expected a whole number"),
        (
            {**LEAST, "distill": {"warmup_ratio": 1.0}},
            "--warmup-ratio = 1.0; expected a number, at least 0 and below",
        ),
        ({**LEAST, "publish": {"only": ["weights"]}}, "--only[0] = 'weights'; expected one of model, tokenizer"),
        ({**LEAST, "distill": {"loss": "l1"}}, "--loss = 'l1'; expected one of cosine, relational, mse"),
        ({**LEAST, "distill": {"similarity_weight": -1}}, "distill.similarity_weight = -1.0; expected a number"),
        ({**LEAST, "distill": {"matryoshka": [128, "64"]}}, "--matryoshka[1] = '64'; expected a whole number"),
        ({**LEAST, "distill": {"matryoshka": "many"}}, "--matryoshka[0] = 'many'; expected a whole number"),
        (
            {**LEAST, "distill": {"matryoshka": [128, 0]}},
            "--matryoshka = 0; expected a list of whole numbers, at least 1",
        ),
        ({**LEAST, "distill": {"epochs": float("nan")}}, "--epochs = nan; expected a number, above 0"),
        ({**LEAST, "distill": {"learning_rate": float("inf")}}, "--learning-rate = inf; expected a number, above 0"),
        ({**LEAST, "distill": {"embedding_only_steps": -1}}, "--embedding-only-steps = -1; expected a whole number"),
        (
            {**LEAST, "distill": {"embedding_only_steps": 9, "steps": 9}},
            "--embedding-only-steps 9 leaves none of the 9",
        ),
        ({**LEAST, "distill": {"language_sampling_alpha": 2}}, "--language-sampling-alpha = 2.0; expected a number"),
        ({**LEAST, "tokenizer": {"vocab_size": -1}}, "--vocab-size = -1; expected a whole number or auto, at least 1"),
        ({**LEAST, "tokenizer": {"vocab_size": "many"}}, "--vocab-size = 'many'; expected a whole number or auto."),
        ({**LEAST, "tokenizer": {"vocab_size": 1.5}}, "--vocab-size = 1.5; expected a whole number or auto."),
        (
            {**LEAST, "tokenizer": {"vocab_size": "auto", "keep": 5, "learn": 5}},
            "make 10 tokens, but --vocab-size is auto",
        ),
        ({**LEAST, "tokenizer": {"vocab_size": 9, "keep": 5, "learn": 5}}, "make 10 tokens, but --vocab-size is 9"),
        ({**LEAST, "tokenizer": {"use": "x", "vocab_size": 9}}, "--tokenizer is used as it is: --vocab-size has no"),
        ({**LEAST, "tokenizer": {"use": "x", "keep": 9}}, "--keep has no effect"),
        ({**LEAST, "tokenizer": {"use": "x", "learn": 9}}, "--learn has no effect"),
        ({**LEAST, "tokenizer": {"use": "x", "keep_normalizer": True}}, "--keep-normalizer has no effect"),
        ({**LEAST, "embed": {"query_share": 1.1}}, "--query-share = 1.1; expected a number, at least 0 and at most"),
        ({**LEAST, "embed": {"dtype": "int8"}}, "--embedding-dtype = 'int8'; expected one of float16"),
        ({**LEAST, "embed": {"use": "x", "distill_limit": 5}}, "--distill-limit has no effect"),
        ({**LEAST, "corpus": {"limit": 0}}, "--limit '0': expected a whole number, at least 1, or one for each"),
        ({**LEAST, "corpus": {"limit": "tr=-1"}}, "--limit 'tr=-1': expected a whole number, at least 1, or one for"),
        ({**LEAST, "corpus": {"limit": "tr="}}, "such as tr=100000,*=10000, not ''"),
        ({**LEAST, "corpus": {"limit": "tr=1,tr=2"}}, "--limit 'tr=1,tr=2' has two numbers for tr; expected one"),
        ({**LEAST, "corpus": {"limit": "5,6"}}, "--limit '5,6' has two numbers for *; expected one number, or"),
        ({**LEAST, "corpus": {"limit": "xx=5"}}, "--limit: Unknown language code 'xx': expected an ISO 639-1 code"),
        ({**LEAST, "embed": {"distill_limit": "tr=0,*=many"}}, "--distill-limit 'tr=0,*=many': expected a whole"),
        ({**LEAST, "embed": {"text_column": "sentence"}}, "--text-column names a column of the dataset"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        RunConfig.from_dict(values)


def test_a_configuration_made_in_python_is_checked_too() -> None:
    for wrong in (
        lambda: DistillConfig(steps=0),
        lambda: TokenizerConfig(vocab_size=10, keep=5, learn=6),
        lambda: EmbedConfig(embedding_column="vector"),
        lambda: RunConfig(teacher="", lang=("tr",)),
        lambda: RunConfig(teacher="org/model", lang=("xx",)),
    ):
        with pytest.raises(UsageError):
            wrong()


def test_values_become_the_types_of_the_fields() -> None:
    values: dict[str, Any] = {"lang": "tr, en", "output": "run", "distill": {"epochs": 2, "matryoshka": "384, 128"}}
    config = RunConfig.from_dict({"teacher": "org/model", **values})
    assert (config.lang, config.output) == (("tr", "en"), Path("run"))
    assert (config.distill.epochs, config.distill.matryoshka) == (2.0, (384, 128))
    assert isinstance(config.distill.epochs, float)
    assert config == RunConfig.from_dict({"teacher": "org/model", **values, "lang": ["tr", "en"]})


@pytest.mark.parametrize(
    ("given", "limits", "kept"),
    [
        (None, {}, None),
        (7, {"*": 7}, 7),
        ("7", {"*": 7}, 7),
        ("*=7", {"*": 7}, 7),
        ("*=7, tr=9,de=8", {"tr": 9, "de": 8, "*": 7}, "de=8,tr=9,*=7"),
        ("tr=9", {"tr": 9}, "tr=9"),
    ],
)
def test_limits_are_a_number_or_one_for_each_language(given: Any, limits: dict[str, int], kept: Any) -> None:
    corpus, embed = CorpusConfig(limit=given), EmbedConfig(distill_limit=given)
    assert corpus.limits == embed.limits == limits
    # The same limits are the same value, however they are written: it is part of a stage's key.
    assert corpus.limit == embed.distill_limit == kept
    assert limit_of(limits, "fr") == limits.get("*") and limit_of(limits, "tr") == limits.get("tr", limits.get("*"))


def test_the_run_folder_is_named_after_teacher_and_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RunConfig(teacher="org/model@v1", lang=("tr", "en")).output == Path("runs/model-tr")
    (tmp_path / "teacher/inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "teacher")
    assert RunConfig(teacher=".", lang=("tr",)).output == Path("runs/teacher-tr")
    monkeypatch.chdir(tmp_path / "teacher/inner")
    assert RunConfig(teacher="..", lang=("tr",)).output == Path("runs/teacher-tr")


def test_checks_do_not_look_at_the_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    values = {**LEAST, "teacher": str(tmp_path / "none"), "output": str(tmp_path / "file")}
    assert RunConfig.from_dict({**values, "evaluate": {"sts": ["none.tsv"]}}).output == tmp_path / "file"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"teecher": "x"}, "Unknown key 'teecher' (did you mean 'teacher'?)"),
        ({"corpus": {"sourcs": ["x"]}}, "Unknown key 'sourcs' in [corpus] (did you mean 'sources'?)"),
        ({"distill": {"learningrate": 1}}, "Unknown key 'learningrate' in [distill] (did you mean 'learning_rate'?)"),
        ({"clone": {"xyz": 1}}, "Unknown key 'xyz' in [clone] (expected one of: init, layers, static)"),
    ],
)
def test_unknown_keys_are_refused(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        RunConfig.from_dict({**LEAST, **values})


def test_changes_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('teacher = "org/a"\nlang = "tr"\n[distill]\nsteps = 5\nepochs = 2\n')
    config = RunConfig.from_toml(file, {"teacher": "org/b", "distill": {"steps": 7}, "clone": {"init": "mean"}})
    assert (config.teacher, config.distill.steps, config.distill.epochs, config.clone.init) == ("org/b", 7, 2, "mean")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("x = ")
    for name, message in (
        ("none.toml", "No configuration file"),
        ("x.toml", "not valid TOML"),
        (".", "Could not read"),
    ):
        with pytest.raises(UsageError, match=message):
            RunConfig.from_toml(tmp_path / name)


LONG = ".".join("a" * 50_000)
DEEP = 100_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{LONG} = 1", "a name has too many parts"),  # 10 GB in tomllib
        (" . ".join(['"a"'] * 50_000) + " = 1", "a name has too many parts"),
        (f"[{LONG}]\nx = 1", "a name has too many parts"),
        (f"x = {{ {LONG} = 1 }}", "a name has too many parts"),
        ("x = " + "[" * DEEP, "not valid TOML"),
        ("x = " + "{a = " * DEEP, "not valid TOML"),
        ("seed = " + "9" * 5000, "not valid TOML"),
        ("seed = 0x" + "f" * 5000, "--seed is too large"),
        ("seed = 9223372036854775808", "--seed is too large"),
        ("[distill]\nepochs = 0x" + "f" * 5000, "--epochs is too large; expected a number"),
        ("[publish]\ntag = 0x" + "f" * 5000, "--tag = a number of thousands of digits; expected text"),
        ("[distill]\nmatryoshka = '" + "9" * 5000 + "'", "expected a whole number"),
        ("#" * 1_000_001, "more than 1,000,000 bytes"),
        ("x = '\0'", "not valid TOML"),
        ("x = \udcff", "not valid TOML"),
    ],
    ids=range(15),
)
def test_files_of_any_content_are_refused_in_a_sentence(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(f'teacher = "org/model"\nlang = "tr"\n{content}'.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        RunConfig.from_toml(file)
    assert len(str(error.value)) < 500


def test_what_never_ends_is_no_configuration() -> None:
    with pytest.raises(UsageError, match="more than 1,000,000 bytes"):
        RunConfig.from_toml(Path("/dev/zero"))


def test_a_file_of_an_editor_of_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('teacher = "org/a.b.c"\r\nlang = "tr"\r\n', encoding="utf-8-sig")
    assert RunConfig.from_toml(tmp_path / "x.toml").teacher == "org/a.b.c"


def test_many_files_in_one_line_are_no_long_name(tmp_path: Path) -> None:
    names = [f"a.b.c.{number}.txt.gz" for number in range(200)]
    (tmp_path / "x.toml").write_text(f'teacher = "org/m"\nlang = "tr"\ncorpus.sources = {names}\n')
    assert RunConfig.from_toml(tmp_path / "x.toml").corpus.sources == tuple(names)


def test_options_that_change_no_result_are_marked() -> None:
    neutral = {item.name for item in fields(DistillConfig) if item.metadata.get("neutral")}
    assert neutral == {"micro_batch_tokens", "gradient_checkpointing", "compile", "tensorboard"}


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
