"""The page's results, the command that it gives, and the files of a Space's repo."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hub_tools.config import RunConfig
from hub_tools.core.errors import UserError
from hub_tools.hub.space_repo import APP, THUMBNAIL, demo_files
from hub_tools.reporting.report import FullReport
from hub_tools.space import results
from hub_tools.space.content import SpaceContent, find_model
from hub_tools.space.limits import Deadline
from hub_tools.space.serve import check_installed
from hub_tools.space.service import Service
from tests.commands import hub_distill, refused
from tests.fake_hub import FakeHub
from tests.pictures import picture_size

ROOT = Path(__file__).parents[1]


def test_the_command_is_safe_to_paste() -> None:
    plain = "hub-distill --teacher a/b@v1 --lang sw --vocab-size 32000"
    assert results.command("a/b@v1", "sw", 32000) == plain  # OPUS-100 has no translations of Swahili
    pairs = " --parallel Helsinki-NLP/opus-100:en-tr"
    assert results.command("a/b@v1", "tr", 32000) == plain.replace("sw", "tr") + pairs
    for teacher, language, size in (
        ("a/b;rm", "tr", 9000),
        ("a/b@$(id)", "tr", 9000),
        ("a/b", "tr", 3),
        ("a/b", "qq", 9000),
    ):
        with pytest.raises(Exception, match=r"no id|Expected|Unknown language"):
            results.command(teacher, language, size)


def test_the_report_that_visitors_read_names_no_folder(content: SpaceContent, finished: tuple[RunConfig, Any]) -> None:
    text = json.dumps(content.report.to_dict())
    assert str(finished[0].output.parent) not in text
    assert str(ROOT) not in text
    names = {"scores", "quality", "heldout_cosine", "tokens_per_word"}
    assert set(content.figures) == {name + ending for name in names for ending in (".png", ".tr.png")}
    assert content.links["link_paper"].startswith("https://arxiv.org")


def with_options(report: FullReport, *, allow_pickle: bool, query_prompt: str | None) -> FullReport:
    embed = replace(report.config.embed, query_prompt=query_prompt)
    return replace(report, config=replace(report.config, allow_pickle=allow_pickle, embed=embed))


def test_models_may_do_in_a_space_what_they_might_in_the_run(
    content: SpaceContent, tiny_teacher: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_teacher, tmp_path / "pickled"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    trusted = with_options(content.report, allow_pickle=True, query_prompt="query: ")
    model = find_model("teacher", str(folder), trusted)
    query, text = (model.encode(["Merhaba"], role, Deadline(60)) for role in ("query", "text"))
    assert query.shape == (1, 32) and not np.allclose(query, text)
    assert np.allclose(query, model.encode(["query: Merhaba"], "text", Deadline(60)), atol=1e-6)
    with pytest.raises(UserError, match="--allow-pickle"):
        find_model("teacher", str(folder), with_options(content.report, allow_pickle=False, query_prompt=None))


def test_a_tokenizer_in_a_folder_of_its_model_is_compared_with_one_from_outside(
    *,
    content: SpaceContent,
    hub: FakeHub,
    online: dict[str, str],
    tiny_teacher: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key, value in online.items():
        monkeypatch.setenv(key, value)
    (tmp_path / "tokenizer").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(content.models["student"].tokenizer_folder / name, tmp_path / "tokenizer")
    hub.add("model", "bob/tokenizer", tmp_path / "tokenizer")
    folder = tmp_path / "teacher"
    shutil.copytree(tiny_teacher, folder / "0_Transformer", ignore=shutil.ignore_patterns("modules.json", "1_*", "2_*"))
    modules = json.loads((tiny_teacher / "modules.json").read_text())
    for module in modules[1:]:
        shutil.copytree(tiny_teacher / module["path"], folder / module["path"], dirs_exist_ok=True)
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    models = {**content.models, "teacher": find_model("teacher", str(folder), content.report)}
    service = Service(replace(content, models=models))
    expected = service.compare("Merhaba dünya", "teacher", "student")
    assert service.compare("Merhaba dünya", "teacher", "bob/tokenizer") == expected


def test_spaces_demo_is_what_the_code_makes() -> None:
    """Run `python -m hub_tools.hub.space_repo` after a change."""
    made = demo_files()
    there = {f.name: f.read_bytes() for f in (ROOT / "spaces/demo").iterdir() if f.is_file()}
    # Another version of matplotlib draws another file.
    assert picture_size(there.pop(THUMBNAIL)) == (1200, 630)
    assert there == made
    assert made["app.py"].decode() == APP
    card = made["README.md"].decode()
    for line in (
        "sdk: gradio",
        "sdk_version: 6.31.0",
        "app_file: app.py",
        "python_version: '3.12'",
        "Duplicate this Space",
        "models:\n- sentence-transformers/all-MiniLM-L6-v2\n",
    ):
        assert line in card


def test_commands_that_cannot_work_say_so(tmp_path: Path, finished: tuple[RunConfig, Any]) -> None:
    refused(hub_distill("space", "nothing", cwd=tmp_path), "nothing is no run folder")
    (tmp_path / "empty.txt").write_text("\n\n")
    done = hub_distill("space", str(finished[0].output), "--documents", "empty.txt", cwd=tmp_path)
    refused(done, "empty.txt holds 0 texts")
    with pytest.raises(UserError, match=r"no_such_package.*pip install 'hub-tools\[space\]'"):
        check_installed(("json", "no_such_package"))
