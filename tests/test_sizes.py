"""The sizes of a plan: of the teacher and of a student that does not exist yet, without the weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hub_tools.core.files import write_json
from hub_tools.models.loading import LoadPolicy
from hub_tools.models.resolve import find_teacher
from hub_tools.models.sizes import plan_sizes
from tests.architectures import ARCHITECTURES
from tests.fake_hub import FakeHub

HEADERS = 20_000  # bytes of the headers of safetensors, which are not planned


def stored(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


@pytest.fixture
def teacher(tiny_teacher: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(tiny_teacher, tmp_path / "teacher"))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_student_gets_as_large_as_planned(
    small_teachers: dict[str, Path], small_clones: dict[str, tuple[Path, Any]], name: str
) -> None:
    plan, clone = plan_sizes(find_teacher(str(small_teachers[name]))), small_clones[name][0]
    assert plan.teacher_bytes == stored(small_teachers[name])
    assert plan.weight_bytes(2300) == pytest.approx(stored(clone), abs=HEADERS)
    tensors = [tensor for file in clone.rglob("*.safetensors") for tensor in load_file(file).values()]
    assert plan.params(2300) == sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())


def test_rows_are_counted_in_the_dtype_in_which_they_are_stored(teacher: Path) -> None:
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(teacher / "model.safetensors").items()}
    save_file(weights, teacher / "model.safetensors", metadata={"format": "pt"})
    plan = plan_sizes(find_teacher(str(teacher)))
    assert plan.token_bytes == 32 * 2
    assert plan.params(2000) - plan.params(1000) == 1000 * 32


def test_a_static_teacher_of_model2vec_is_planned_unfolded(teacher: Path, tmp_path: Path) -> None:
    folder = tmp_path / "static"
    folder.mkdir()
    shutil.copyfile(teacher / "tokenizer.json", folder / "tokenizer.json")
    weights = {"embeddings": torch.zeros(500, 16), "mapping": torch.zeros(9000, dtype=torch.int64)}
    save_file(weights, folder / "model.safetensors")
    listed = [{"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}]
    write_json(folder / "modules.json", listed)
    plan = plan_sizes(find_teacher(str(folder)))
    assert plan.params(2000) == 2000 * 16
    assert plan.weight_bytes(2000) == pytest.approx(2000 * 16 * 4, abs=HEADERS)


def test_pickled_weights_are_planned_as_their_settings_say(teacher: Path) -> None:
    torch.save(load_file(teacher / "model.safetensors"), teacher / "pytorch_model.bin")
    (teacher / "model.safetensors").unlink()
    found = find_teacher(str(teacher), policy=LoadPolicy(pickle=True))
    plan = plan_sizes(found)
    assert plan.teacher_bytes == (teacher / "pytorch_model.bin").stat().st_size
    assert (plan.token_bytes, plan.token_params) == (32 * 4, 32)


@pytest.mark.parametrize("settings", [{}, {"vocab_size": 30522}])
def test_a_pickled_static_teacher_is_all_rows(teacher: Path, tmp_path: Path, settings: dict[str, int]) -> None:
    folder = tmp_path / "static"
    folder.mkdir()
    shutil.copyfile(teacher / "tokenizer.json", folder / "tokenizer.json")
    torch.save({"embedding.weight": torch.zeros(30522, 16)}, folder / "pytorch_model.bin")
    write_json(folder / "config.json", settings)
    listed = [{"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}]
    write_json(folder / "modules.json", listed)
    found = find_teacher(str(folder), policy=LoadPolicy(pickle=True))
    assert plan_sizes(found).weight_bytes(15261) == pytest.approx(15261 * 16 * 4, abs=HEADERS)


def test_what_settings_say_of_a_pickle_gives_no_more_than_it_holds(teacher: Path) -> None:
    torch.save(load_file(teacher / "model.safetensors"), teacher / "pytorch_model.bin")
    (teacher / "model.safetensors").unlink()
    config = json.loads((teacher / "config.json").read_text())
    write_json(teacher / "config.json", {**config, "hidden_size": 4096})
    found = find_teacher(str(teacher), policy=LoadPolicy(pickle=True))
    plan = plan_sizes(found)
    assert 0 < plan.weight_bytes(1000) < plan.teacher_bytes


def test_runs_in_the_teachers_folder_are_not_its_weights(teacher: Path) -> None:
    shutil.copytree(teacher, teacher / "runs/x/student")
    assert plan_sizes(find_teacher(str(teacher))).teacher_bytes == (teacher / "model.safetensors").stat().st_size


PLAN = """
import json
from hub_tools.models.resolve import find_teacher
from hub_tools.models.sizes import plan_sizes
teacher = find_teacher("org/tiny", weights=False)
print(json.dumps([teacher.max_seq_length, *vars(plan_sizes(teacher)).values()]))
"""


def test_a_teacher_of_the_hub_is_planned_without_its_weights(
    hub: FakeHub, online: dict[str, str], tiny_teacher: Path
) -> None:
    weights = hub.add("model", "org/tiny", tiny_teacher).head.files["model.safetensors"].sha256

    def plan(code: str = PLAN, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env={**os.environ, **online, **env}, capture_output=True, text=True, check=False)

    done = plan()
    local = find_teacher(str(tiny_teacher))
    assert json.loads(done.stdout) == [64, *vars(plan_sizes(local)).values()], done.stderr
    assert {request.range is None for request in hub.asked(f"GET .*model.safetensors|GET /storage/{weights}")} == {
        False
    }
    # Once the weights are here, nobody is asked for their sizes.
    assert plan(PLAN.replace(", weights=False", "")).returncode == 0
    offline = plan(HF_HUB_OFFLINE="1")
    assert offline.stdout == done.stdout, offline.stderr


def test_pickles_of_the_hub_are_refused_before_they_are_fetched(
    hub: FakeHub, online: dict[str, str], teacher: Path
) -> None:
    (teacher / "model.safetensors").rename(teacher / "pytorch_model.bin")
    hub.add("model", "org/tiny", teacher)
    command = [sys.executable, "-c", PLAN]
    done = subprocess.run(command, env={**os.environ, **online}, capture_output=True, text=True, check=False)
    assert "org/tiny has no safetensors weights in" in done.stderr
    assert hub.asked(r"resolve/.*\.bin") == []
