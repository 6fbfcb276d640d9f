"""Whole jobs that publish: a private teacher, and one with code of its own and pickled weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.commands import environment, hub_distill, refused, succeeded
from tests.fake_hub import FakeHub
from tests.pushed import check_nothing_leaked


def test_from_one_command_to_three_repos(
    hub: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path
) -> None:
    teacher = tmp_path / "teacher"
    shutil.copytree(tiny_teacher, teacher)
    (teacher / "README.md").write_text("---\nlicense: gemma\n---\n# Teacher\n")
    (teacher / "LICENSE").write_text("The terms.\n")
    (teacher / "NOTICE").write_text("The teacher's notice.\n")
    (teacher / "onnx").mkdir()
    (teacher / "onnx" / "model.json").write_text("{}")
    (teacher / "pytorch_model.bin").write_bytes(b"a copy of the weights")
    repo = hub.add("model", "ada/private-teacher", teacher, private=True)
    repo.tags["v1"] = repo.head.oid
    args = ["--teacher", "ada/private-teacher@v1", "--lang", "tr", "--corpus", "sample", "--limit", "40"]
    args += ["--steps", "2"]
    args += ["--vocab-size", "4096", "--device", "cpu", "--precision", "fp32", "--push-to-hub", "ada", "--private"]
    args += ["--only", "model", "--only", "dataset", "--tag", "v1"]
    done = hub_distill(*args, cwd=tmp_path, **online)
    succeeded(done)
    assert hub.asked(r"resolve/.*(onnx|\.bin)") == []
    files = hub.repos["model", "ada/private-teacher-tr"].head.files
    assert "LICENSE" in files
    notice = files["NOTICE"].content.decode()
    assert notice.startswith("The teacher's notice.\n\nGemma is provided under")
    card = files["README.md"].content.decode()
    assert "base_model: ada/private-teacher\n" in card
    assert f"--teacher ada/private-teacher@{repo.head.oid} " in card
    run = tmp_path / "runs/private-teacher-tr"
    check_nothing_leaked(hub, run)
    published = {repo_id: repo.tags for (_, repo_id), repo in hub.repos.items() if "private-teacher-tr" in repo_id}
    assert list(published) == ["ada/private-teacher-tr", "ada/private-teacher-tr-embeddings"]
    assert [list(tags) for tags in published.values()] == [["v1"], ["v1"]]
    assert hub.collections == {}


_OWN_CODE = """
from transformers import BertConfig, BertModel

class OwnConfig(BertConfig):
    model_type = "own"

class OwnModel(BertModel):
    config_class = OwnConfig
"""


def test_a_trusted_teacher_with_code_and_pickled_weights_goes_all_the_way(
    hub: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file
    from sentence_transformers import SentenceTransformer

    teacher = tmp_path / "teacher"
    shutil.copytree(tiny_teacher, teacher)
    torch.save(load_file(teacher / "model.safetensors"), teacher / "pytorch_model.bin")
    (teacher / "model.safetensors").unlink()
    (teacher / "own.py").write_text(_OWN_CODE)
    config = json.loads((teacher / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}}
    (teacher / "config.json").write_text(json.dumps(config))
    hub.add("model", "org/own", teacher)
    args = ["--teacher", "org/own", "--lang", "tr", "--corpus", "sample", "--limit", "40", "--steps", "2"]
    args += ["--vocab-size", "4096", "--device", "cpu", "--precision", "fp32", "--push-to-hub", "ada"]
    refused(hub_distill(*args, "--allow-pickle", cwd=tmp_path, **online), "org/own comes with Python code of its own")
    refused(hub_distill(*args, "--trust-remote-code", cwd=tmp_path, **online), "org/own has no safetensors weights")
    done = hub_distill(*args, "--allow-pickle", "--trust-remote-code", cwd=tmp_path, **online)
    succeeded(done)
    files = hub.repos["model", "ada/own-tr"].head.files
    # The student needs the code, and has no pickle any more.
    assert {"own.py", "model.safetensors"} <= set(files)
    assert not [file for file in files if file.endswith(".bin")]
    card = files["README.md"].content.decode()
    assert 'SentenceTransformer("ada/own-tr", trust_remote_code=True)' in card
    assert "--trust-remote-code --allow-pickle" in card
    with environment(**{**online, "HF_HOME": str(tmp_path / "elsewhere")}):
        model = SentenceTransformer("ada/own-tr", device="cpu", trust_remote_code=True)
    assert type(model[0].auto_model).__name__ == "OwnModel"
    assert model.encode(["Merhaba"]).shape == (1, 32)
