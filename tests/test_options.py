"""The table of options, and the command line that comes from it, in this process."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.cli import main
from hub_tools.cli.base import configure
from hub_tools.cli.space import open_space
from hub_tools.cli.stages import STAGES
from hub_tools.config import RunConfig
from hub_tools.core.errors import UsageError, UserError, explain
from hub_tools.exporting.export import export
from hub_tools.hub.jobs import check_remote
from hub_tools.options import COMMON, OPTIONS, Option, click_options, nest
from scripts.options_page import options_page

PAGE = Path(__file__).parents[1] / "docs/options.md"
JOB = ["--teacher", "org/model", "--lang", "tr", "--push-to-hub", "ada"]


def hub_distill(*words: str) -> Result:
    return CliRunner().invoke(main, words, prog_name="hub-distill", terminal_width=100)


def parsed(*words: str) -> dict[str, Any]:
    context = click.Command("hub-distill", params=[*click_options()]).make_context("hub-distill", [*words])
    return nest(context.params)


def other_value(option: Option) -> Any:
    """A value that is allowed and not the default."""
    if option.kind is bool:
        return True
    limits = {"limit": 7, "distill_limit": "tr=7,*=5", "finetune_limit": 20}
    by_name = {
        "lang": "en",
        "output": Path("folder"),
        "executor_option": "time=1:00:00",
        "student": "layers=6,vocab=300",
        **limits,
    }
    by_type = {int: 7, float: 0.25, str: "some text"}
    other = next((choice for choice in option.choices if choice != option.default), by_type.get(option.item))
    value = by_name.get(option.name, other)
    return (value,) if option.is_list else value


def test_the_page_of_options_is_as_the_table_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == options_page(), "run: python scripts/options_page.py > docs/options.md"


def test_a_default_is_shown_as_it_is_typed() -> None:
    defaults = {option.name: option.default_text for option in OPTIONS}
    assert defaults["finetune_order"] == "nli,retrieval,sts"
    assert defaults["finetune_shares"] == "0.25,0.5,0.75,1.0"


def test_no_two_options_have_one_name() -> None:
    names = [option.name for option in OPTIONS]
    assert len(set(names)) == len(names)
    assert set(COMMON) <= set(names)


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.flag], ids=lambda option: option.name)
def test_the_words_of_a_command_give_the_value_back(option: Option) -> None:
    value = other_value(option)
    needed = ["--embeddings", "org/vectors"] if option.name.endswith("_column") else []
    needed += ["--executor", "local"] if option.name in ("workers", "executor_option") else []
    values = parsed(*needed, *option.words(value))
    assert option.of(RunConfig.from_dict({"teacher": "org/model", "lang": "tr", **values})) == value


@settings(deadline=None)
@given(st.lists(st.text(min_size=1).filter(lambda text: not text.startswith("-")), min_size=1))
def test_any_text_goes_through_a_shell_and_the_command_line(texts: list[str]) -> None:
    option = next(option for option in OPTIONS if option.name == "corpus")
    words = shlex.split(shlex.join(option.words(texts)))
    assert parsed(*words) == {"corpus": {"sources": tuple(texts)}}


def test_a_size_is_a_number_or_auto() -> None:
    assert parsed("--vocab-size", "auto") == {"tokenizer": {"vocab_size": "auto"}}
    assert parsed("--vocab-size", "4096") == {"tokenizer": {"vocab_size": 4096}}


def test_what_was_not_given_is_not_passed_on() -> None:
    assert parsed("--steps", "5") == {"distill": {"steps": 5}}


def test_a_file_loses_to_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('teacher = "org/a"\nlang = "tr"\n[distill]\nsteps = 5\nmax_grad_norm = 2\n')
    config = configure({"config_file": str(file), "steps": 7})
    assert (config.distill.steps, config.distill.max_grad_norm) == (7, 2.0)


def flags_in(text: str) -> set[str]:
    """The options that a help text explains: those at the start of a line."""
    return set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.M))


ALL_FLAGS = {option.flag for option in OPTIONS if option.flag}


def test_every_command_can_say_less_or_more() -> None:
    """All but the help of the whole job, which has them too."""
    from hub_tools.cli import main

    for name, command in {"": main, **main.commands}.items():
        flags = {flag for param in command.params for flag in param.opts}
        assert {"--quiet", "--verbose", "--no-progress", "-q", "-v"} <= flags, name


OF_A_RUN = {"--config", "--resume", "--dry-run", "--json", "--quiet", "--verbose", "--no-progress", "--help"}


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_is_what_everyone_needs_the_commands_and_examples(words: list[str]) -> None:
    result = hub_distill(*words)
    text = result.output
    assert result.exit_code == 0
    common = [f"--{name.replace('_', '-')}" for name in COMMON]
    assert flags_in(text) == {*common, *OF_A_RUN, "--help-all", "--version"}
    assert [text.index(f"  {flag} ") for flag in common] == sorted(text.index(f"  {flag} ") for flag in common)
    assert text.index(common[-1]) < text.index("This run:") < text.index("Commands:") < text.index("Examples:")
    assert text.count("\n    hub-distill ") == 3
    assert len(text.splitlines()) < 60


def test_a_command_has_one_line_on_a_terminal_of_80_columns() -> None:
    text = CliRunner().invoke(main, ["--help"], prog_name="hub-distill", terminal_width=80).output
    commands = text[text.index("Commands:") :].split("\n\n")[0].splitlines()[1:]
    assert [line.split()[0] for line in commands] == list(main.commands)
    assert all(line.endswith(".") and not line.endswith("...") for line in commands), commands


def test_all_help_has_all_options_in_groups() -> None:
    text = hub_distill("--help-all").output
    assert flags_in(text) >= ALL_FLAGS | OF_A_RUN
    positions = [text.index(f"  --{name.replace('_', '-')} ") for name in COMMON]
    assert positions == sorted(positions)
    assert positions[-1] < text.index("Models and machine") < text.index("Publish (") < text.index("Commands:")
    assert "[default: 8192, on CPUs 1024]" in " ".join(text.split())
    assert "--batch-tokens" not in hub_distill("--help").output  # nothing of it stays


@pytest.mark.parametrize("stage", STAGES)
def test_help_of_a_stage_has_its_own_options_alone(stage: str) -> None:
    sections = {"", stage} | ({"scale"} if stage in ("corpus", "embed") else set())
    own = {option.flag for option in OPTIONS if option.flag and option.section in sections}
    assert flags_in(hub_distill(stage, "--help").output) == own | {"--corpus", "--parallel"} | OF_A_RUN


def test_a_stage_takes_the_options_of_the_whole_job_on_both_sides_of_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configs: list[RunConfig] = []
    monkeypatch.setattr("hub_tools.stages.plan.plan", lambda config: configs.append(config) or "the plan")
    result = hub_distill("--teacher", "org/a", "--steps", "5", "corpus", "--lang", "tr", "--steps", "6", "--dry-run")
    assert (result.exit_code, result.output) == (0, "the plan\n")
    assert (configs[0].teacher, configs[0].distill.steps) == ("org/a", 6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dry-run"], "Missing --teacher"),
        ([*JOB, "--dry-run", "--json"], "A plan is in words: leave out --dry-run or --json."),
        (["--teacher", "org/a"], "Missing --lang"),
        (["corpus", *JOB], "A single stage pushes nothing"),
        ([*JOB, "corpus"], "A single stage pushes nothing"),
        (["--dry-run", "demo"], "Options of demo stand after its name"),
        ([*JOB, "--loss", "l1"], "--loss = 'l1'; expected one of cosine, relational, mse"),
        ([*JOB, "--vocab-size", "32k"], "--vocab-size = '32k'; expected a whole number or auto."),
        ([*JOB, "--matryoshka", "384,many"], "--matryoshka[1] = 'many'; expected a whole number"),
        ([*JOB, "--steps", "5", "--embedding-only-steps", "5"], "--embedding-only-steps 5 leaves none of the 5 steps"),
        ([*JOB[:2], "--lang", "turkish"], "did you mean tr (Turkish)"),
        ([*JOB, "--limit", "many"], "--limit 'many': expected a whole number, at least 1, or one for each language"),
        (["--config", "nowhere.toml"], "No configuration file nowhere.toml"),
        (["fertility", "--tokenizer", "x", "--text", "x", "--lang", "xx"], "Unknown language code 'xx'"),
        (["jobs", *JOB[:-2]], "give --push-to-hub NAMESPACE"),
    ],
)
def test_wrong_usage_is_one_sentence(words: list[str], message: str) -> None:
    error = hub_distill(*words).exception
    assert isinstance(error, UsageError)  # exit code 2
    assert message in str(error)


@pytest.mark.parametrize("words", [["--steps", "many"], ["--frobnicate"], ["jobs", *JOB, "--output", "run"]])
def test_click_refuses_what_it_cannot_read(words: list[str]) -> None:
    assert hub_distill(*words).exit_code == 2


def test_a_missing_text_is_one_sentence(tmp_path: Path, minilm: Path) -> None:
    for name in ("missing.parquet", "missing.txt"):
        error = hub_distill("fertility", "--tokenizer", str(minilm), "--text", str(tmp_path / name)).exception
        assert error is not None
        assert f"{tmp_path / name}" in (explain(error) or "")


def test_a_job_gets_no_file_that_stays_here(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("Merhaba\n")
    job: dict[str, Any] = {"teacher": "org/model", "lang": "tr", "publish": {"namespace": "ada"}}
    check_remote(RunConfig.from_dict({**job, "corpus": {"sources": [str(file), "org/texts", "sample"]}}))
    for local in (
        {"teacher": str(tmp_path)},
        {"tokenizer": {"use": str(tmp_path)}},
        {"embed": {"use": str(tmp_path)}},
        {"corpus": {"sources": [f"{tmp_path}/{{lang}}.txt"]}},
        {"corpus": {"parallel": ["missing.tsv"]}},
        {"evaluate": {"sts": ["missing.tsv"]}},
    ):
        with pytest.raises(UserError, match="is on this machine"):
            check_remote(RunConfig.from_dict({**job, **local}))


def test_a_space_that_cannot_be_read_ends_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "space.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"^Error: .*space\.json is damaged"):
        open_space(tmp_path)


def test_a_space_shows_the_student_that_its_settings_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("hub_tools.space.content.from_hub", lambda student: student)
    monkeypatch.setattr("hub_tools.space.serve.serve", shown.append)
    monkeypatch.setenv("HUB_TOOLS_STUDENT", " ada/minilm-tr ")
    (tmp_path / "space.json").write_text("{}")  # what the folder says does not count then
    open_space(tmp_path)
    assert shown == ["ada/minilm-tr"]


def test_visitors_of_a_space_that_still_makes_its_model_are_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said: list[str] = []

    def run(_: RunConfig) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/?tab=search", timeout=30) as answer:
            said.append(answer.read().decode())

    def show(_: Path) -> None:
        # The port is free again for the page itself.
        with socket.create_server(("127.0.0.1", port)):
            said.append("shown")

    monkeypatch.setenv("GRADIO_SERVER_PORT", str(port))
    monkeypatch.setattr("hub_tools.pipeline.run", run)
    command = sys.modules["hub_tools.cli.space"]
    monkeypatch.setattr(command, "show", show)
    monkeypatch.setattr(command, "tune_process", lambda: None)
    open_space(tmp_path)
    waiting, shown = said
    assert "The page opens by itself." in waiting
    assert "Sayfa kendiliğinden açılır." in waiting
    assert 'http-equiv="refresh"' in waiting
    assert shown == "shown"
    # Where another program has the port, the run goes on.
    with socket.create_server(("127.0.0.1", port)):
        monkeypatch.setattr("hub_tools.pipeline.run", lambda _: said.append("run"))
        monkeypatch.setattr(command, "show", lambda _: said.append("elsewhere"))
        open_space(tmp_path)
    assert said[2:] == ["run", "elsewhere"]


def test_a_model_folder_is_exported_from_inside(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_teacher, tmp_path / "model")
    (tmp_path / "model-onnx").mkdir()
    (tmp_path / "model-onnx/other").write_text("")
    monkeypatch.chdir(tmp_path / "model")
    with pytest.raises(UserError, match=f"--output {tmp_path / 'model-onnx'} is not empty"):
        export(Path(), "onnx")
