"""The command in a card: pinned, without paths of this machine, and read by a shell as it was meant."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import click

from hub_tools.cli.base import configure
from hub_tools.options import click_options
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.reproduce import reproduce
from tests.committed_report import EVIL, command_of, poisoned


def test_the_command_pins_a_tokenizer_of_the_hub(report: dict[str, Any]) -> None:
    report["config"]["tokenizer"] = {"use": "org/theirs@v1"}
    report["tokenizer"] |= {"added_reachable": None, "revision": "e" * 40}
    assert f"--tokenizer org/theirs@{'e' * 40}" in command_of(report)
    report["tokenizer"]["revision"] = None
    report["config"]["tokenizer"] = {"use": "/home/ada/theirs@home"}
    assert "--tokenizer PATH/theirs@home" in command_of(report)


def test_the_command_pins_vectors_of_the_hub(report: dict[str, Any]) -> None:
    report["config"]["embed"] = {"use": "org/vectors@main"}
    report["embeddings"]["taken_from"] = {"name": "org/vectors", "revision": "f" * 40}
    assert f"--embeddings org/vectors@{'f' * 40}" in command_of(report)
    report["config"]["embed"] = {"use": "/home/ada/vectors"}
    report["embeddings"]["taken_from"] = {"name": "vectors", "revision": None}
    assert "--embeddings PATH/vectors" in command_of(report)


def test_only_paths_are_redacted(report: dict[str, Any]) -> None:
    report["config"]["embed"]["query_prompt"] = "/query: "
    assert "--query-prompt '/query: '" in command_of(report)


def test_the_command_pins_datasets_where_their_commit_is_known(report: dict[str, Any]) -> None:
    report["config"]["corpus"]["sources"] = []
    assert f"--corpus 'wikimedia/wikipedia@{'b' * 40}:20231101.{{lang}}'" in command_of(report)
    report["corpus"]["revisions"] = {"wikimedia/wikipedia": None}
    assert "--corpus" not in command_of(report)
    report["config"]["corpus"]["sources"] = ["a/b@v1:x", "sample"]
    report["corpus"]["revisions"] = {"a/b@v1": "d" * 40}
    assert f"--corpus a/b@{'d' * 40}:x --corpus sample" in command_of(report)


def test_the_command_of_the_card_gives_the_same_configuration(report: dict[str, Any], tmp_path: Path) -> None:
    command, toml = reproduce(FullReport.from_dict(report))
    (tmp_path / "run.toml").write_text(toml, encoding="utf-8")
    words = shlex.split(command.replace("--config run.toml", ""))[1:]
    options = click.Command("hub-distill", params=[*click_options(())]).make_context("hub-distill", words).params
    config = configure({**options, "config_file": str(tmp_path / "run.toml")})
    assert config.distill.loss == "relational"
    assert config.distill.similarity_weight == 1.0
    assert config.distill.matryoshka == (16, 8)
    assert config.distill.eval_steps == 2
    assert config.tokenizer.vocab_size == 4096
    assert config.teacher == f"google/embeddinggemma-300m@{'c' * 40}"
    assert config.corpus.sources == (f"wikimedia/wikipedia@{'b' * 40}:20231101.{{lang}}", "PATH/news.txt.gz")


def test_a_shell_reads_the_command_as_it_was_meant(report: dict[str, Any]) -> None:
    command = command_of(poisoned(report))
    said = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True)
    assert EVIL in said.stdout.split("\0")
