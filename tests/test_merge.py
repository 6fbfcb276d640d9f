"""Merging: the mean of weights, what is refused, and that parts are measured beside the whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hub_tools.corpus.readers import sample_file
from hub_tools.models.loading import load_model
from tests.commands import hub_distill, refused, succeeded


@pytest.fixture
def parts(tiny_teacher: Path, tmp_path: Path) -> list[Path]:
    """Two models that differ in their weights alone."""
    folders = [tmp_path / name for name in ("one", "two")]
    for number, folder in enumerate(folders):
        shutil.copytree(tiny_teacher, folder)
        weights = load_file(folder / "model.safetensors")
        save_file({name: weight + number for name, weight in weights.items()}, folder / "model.safetensors")
    return folders


def test_the_result_is_the_mean_and_is_measured_beside_its_parts(parts: list[Path], tmp_path: Path) -> None:
    words = ["merge", *map(str, parts), "--weights", "3,1", "--output", str(tmp_path / "merged")]
    done = hub_distill(*words, "--sts", str(sample_file("sts.tsv")), "--device", "cpu", cwd=tmp_path)
    succeeded(done)
    assert "0.75 of " in done.stdout
    one, merged = (load_file(folder / "model.safetensors") for folder in (parts[0], tmp_path / "merged"))
    for name, weight in one.items():
        torch.testing.assert_close(merged[name], weight + 0.25, rtol=0, atol=1e-6)
    scores = json.loads((tmp_path / "merged-evaluation" / "scores.json").read_text())
    assert list(scores["rows"][0]["models"]) == ["one", "two", "merged"]
    assert load_model(tmp_path / "merged", device="cpu").encode("bir").shape == (32,)
    again = hub_distill(*words, cwd=tmp_path)
    refused(again, "merged is not empty. Choose a new folder.")


def test_what_cannot_be_merged_is_refused_in_one_sentence(parts: list[Path], tmp_path: Path) -> None:
    first, second = map(str, parts)
    out = ["--output", str(tmp_path / "merged")]
    refused(hub_distill("merge", first, *out, cwd=tmp_path), "Expected two models at least to merge", code=2)
    refused(hub_distill("merge", first, second, *out, "--weights", "1", cwd=tmp_path), "1 numbers for 2", code=2)
    refused(hub_distill("merge", first, second, *out, "--weights", "a,b", cwd=tmp_path), "such as 0.5,0.5", code=2)
    refused(hub_distill("merge", first, second, *out, "--weights", "0,0", cwd=tmp_path), "not all of them 0", code=2)
    refused(hub_distill("merge", first, second, cwd=tmp_path), "Missing --output", code=2)
    tokenizer = parts[1] / "tokenizer.json"
    text = tokenizer.read_text()
    tokenizer.write_text(text.replace("the", "eht", 1))
    refused(hub_distill("merge", first, second, *out, cwd=tmp_path), "has another tokenizer than")
    tokenizer.write_text(text)
    config = parts[1] / "modules.json"
    config.write_text(json.dumps(json.loads(config.read_text())[:2]))
    refused(hub_distill("merge", first, second, *out, cwd=tmp_path), "has another architecture than", "2 differs")
    assert not (tmp_path / "merged").exists()
