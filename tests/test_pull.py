"""Pulling teachers from the Hub: what is fetched, what is refused, what a broken line costs."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_tools.core.errors import UserError
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.models.loading import SAFE, LoadPolicy, load_model
from hub_tools.models.resolve import find_teacher
from hub_tools.models.teacher import Teacher
from tests.commands import CANARY, environment, finish, hub_distill, hub_distill_process, refused, succeeded
from tests.fake_hub import FakeHub, Fault, User

PLAN = ["--lang", "tr", "--corpus", "sample", "--dry-run"]


def pull(name: str, policy: LoadPolicy = SAFE, **env: str) -> Teacher:
    """Fetch a teacher with its weights, as a job does before any work."""
    with environment(**env):
        return find_teacher(name, policy=policy)


@pytest.fixture
def teacher(tiny_teacher: Path, tmp_path: Path) -> Path:
    """A copy of the teacher, to be changed."""
    shutil.copytree(tiny_teacher, tmp_path / "teacher")
    return tmp_path / "teacher"


def test_only_what_is_needed_is_fetched_at_the_revision_asked_for(
    hub: FakeHub, online: dict[str, str], teacher: Path, tmp_path: Path
) -> None:
    (teacher / "onnx").mkdir()
    (teacher / "checkpoint-5").mkdir()
    copies = ["onnx/model.json", "checkpoint-5/model.safetensors", "checkpoint-5/config.json"]
    copies.append("consolidated-00001-of-00001.safetensors")
    for name in ("pytorch_model.bin", "tf_model.h5", "model.gguf", "onnx/model.onnx", "own.py", *copies):
        (teacher / name).write_bytes(b"x")
    repo = hub.add("model", "ada/secret", teacher, private=True)
    repo.tags["v1"] = repo.head.oid
    repo.commit("broke it", {})
    push = ["--push-to-hub", "ada", "--private"]
    done = hub_distill("--teacher", "ada/secret@v1", *PLAN, *push, cwd=tmp_path, **online)
    succeeded(done)
    assert "push         dataset ada/secret-tr-embeddings (private)" in done.stdout
    pull("ada/secret@v1", **online)
    fetched = {r.path.partition("/resolve/")[2] for r in hub.asked("/resolve/")}
    assert {f"{repo.tags['v1']}/model.safetensors", f"{repo.tags['v1']}/tokenizer.json"} <= fetched
    assert [f for f in fetched if f.endswith((".bin", ".h5", ".gguf", ".onnx", ".py")) or "onnx" in f] == []
    assert [f for f in fetched if f.partition("/")[2] in copies] == []
    hub.users.clear()
    offline = pull("ada/secret@v1", **{**online, "HF_HUB_OFFLINE": "1", "HF_TOKEN": ""})
    assert (offline.path / "model.safetensors").exists()


def test_a_download_goes_on_where_the_line_broke(
    hub: FakeHub, online: dict[str, str], teacher: Path, tmp_path: Path
) -> None:
    # huggingface_hub writes 10 MiB at a time: what is shorter begins from the start.
    (teacher / "large.safetensors").write_bytes(b"12345" * 5_000_000)
    large = hub.add("model", "org/tiny", teacher).head.files["large.safetensors"].sha256
    hub.faults.append(Fault(f"GET /storage/{large}", cut=15_000_000))
    pull("org/tiny", **online)
    assert [r.range for r in hub.asked(f"GET /storage/{large}")] == [None, "bytes=10485760-"]
    (found,) = (tmp_path / "hf/hub/models--org--tiny").rglob("large.safetensors")
    assert found.read_bytes() == (teacher / "large.safetensors").read_bytes()
    assert [r for r in hub.requests if r.host == "localhost" and r.token] == []


def test_a_download_by_xet_that_breaks_off_is_explained_and_a_rerun_ends_it(
    hub: FakeHub, online: dict[str, str], teacher: Path, tmp_path: Path
) -> None:
    hub.add("model", "org/tiny", teacher)
    hub.add("model", "ada/copy")
    env = {**online, "HF_HUB_DISABLE_XET": "0"}
    hf = [sys.executable, "-m", "huggingface_hub.cli.hf", "upload", "ada/copy", str(teacher), "."]
    succeeded(finish(hf, cwd=tmp_path, **env))
    assert hub.xet_hashes()
    whole = {file: file.read_bytes() for file in (tmp_path / "cas").rglob("*") if file.is_file()}
    for file in whole:
        if file.suffix != ".mdb":
            file.write_bytes(b"")
    cold = {**env, "HF_HOME": str(tmp_path / "cold"), "HF_XET_CACHE": str(tmp_path / "cold-xet")}
    done = hub_distill_process("--teacher", "ada/copy", *PLAN, cwd=tmp_path, **cold)
    refused(done, "The download of large files of teacher 'ada/copy", "broke off. Run the same command again")
    for file, content in whole.items():
        file.write_bytes(content)
    done = hub_distill_process("--teacher", "ada/copy", *PLAN, cwd=tmp_path, **cold)
    succeeded(done)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("GET /api/models/org/tiny", 429, {"Retry-After": "9"}, times=99), ["rate limit", "wait 9 seconds"]),
        (Fault("GET /api/models/org/tiny", 500, times=99), ["The Hub is in trouble (status 500)"]),
        (
            Fault("GET /api/models/org/tiny", 403, message="blocked"),
            ["Your token is not allowed", "teacher 'org/tiny'"],
        ),
    ],
    ids=["429", "500", "403"],
)
def test_the_refusal_of_the_hub_is_passed_on(
    *, hub: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path, fault: Fault, words: list[str]
) -> None:
    hub.add("model", "org/tiny", tiny_teacher)
    hub.faults.append(Fault(**vars(fault)))
    refused(hub_distill("--teacher", "org/tiny", *PLAN, cwd=tmp_path, **online), *words)


def test_tokens_that_open_nothing_are_named_as_the_reason(
    hub: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path
) -> None:
    hub.add("model", "ada/secret", tiny_teacher, private=True)
    hub.users[CANARY] = User("bob")
    args = ["--teacher", "ada/secret", *PLAN]
    refused(hub_distill(*args, cwd=tmp_path, **online), "The Hub knows no teacher 'ada/secret'")
    wrong = hub_distill(*args, cwd=tmp_path, **{**online, "HF_TOKEN": "hf_wrongAndRevoked"})
    refused(wrong, "does not accept your token")
    assert "hf_wrongAndRevoked" not in wrong.stderr


def without_safetensors(teacher: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(teacher / "model.safetensors"), teacher / "pytorch_model.bin")
    (teacher / "model.safetensors").unlink()


def test_pickled_weights_are_refused_unless_asked_for(
    hub: FakeHub, online: dict[str, str], teacher: Path, tmp_path: Path
) -> None:
    without_safetensors(teacher)
    (teacher / "openvino").mkdir()
    for name in ("openvino/openvino_model.bin", "optimizer.bin", "training_args.bin"):
        (teacher / name).write_bytes(b"x")
    hub.add("model", "org/old", teacher)
    args = ["--teacher", "org/old", *PLAN]
    refused(hub_distill(*args, cwd=tmp_path, **online), "org/old has no safetensors weights", "--allow-pickle")
    assert hub.asked("pytorch_model.bin") == []
    pull("org/old", LoadPolicy(pickle=True), **online)
    assert {r.path.rpartition("/")[2] for r in hub.asked(r"resolve/.*\.bin")} == {"pytorch_model.bin"}
    trusted = find_teacher(str(teacher), policy=LoadPolicy(pickle=True))
    assert load_model(trusted.path, device="cpu", policy=trusted.policy).encode(["x"]).shape == (1, 32)


def test_pickled_weights_of_any_module_are_refused(teacher: Path) -> None:
    modules = json.loads((teacher / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_LayerNorm", "type": "sentence_transformers.models.LayerNorm"})
    (teacher / "modules.json").write_text(json.dumps(modules))
    (teacher / "3_LayerNorm").mkdir()
    (teacher / "3_LayerNorm/pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match="no safetensors weights in 3_LayerNorm"):
        find_teacher(str(teacher))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("modules.json", "{not json"),
        ("modules.json", '{"a": 1}'),
        ("modules.json", '[{"idx": 0}]'),
        ("modules.json", "\x00"),
        ("config.json", "[]"),
        ("config.json", "{"),
    ],
)
def test_damaged_settings_are_named(teacher: Path, name: str, content: str) -> None:
    (teacher / name).write_text(content)
    with pytest.raises(UserError, match=rf"{name} is (damaged|no readable JSON)"):
        find_teacher(str(teacher))


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[Path, str]]:
        return Path.write_text, (self.trace, "ran")


@pytest.mark.parametrize("policy", [LoadPolicy(), LoadPolicy(pickle=True)], ids=["not trusted", "trusted"])
def test_a_pickle_bomb_never_goes_off(teacher: Path, tmp_path: Path, policy: LoadPolicy) -> None:
    (teacher / "model.safetensors").unlink()
    (teacher / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Evil(tmp_path / "trace")}))
    with pytest.raises((UserError, pickle.UnpicklingError)):
        load_model(find_teacher(str(teacher), policy=policy).path, device="cpu", policy=policy)
    assert not (tmp_path / "trace").exists()


CODE = """
from pathlib import Path
from transformers import BertConfig, BertModel
Path(__file__).with_name("trace").write_text("ran")
Path("trace").write_text("ran")
class OwnConfig(BertConfig):
    model_type = "own"
class OwnModel(BertModel):
    config_class = OwnConfig
"""


def test_code_of_the_teacher_runs_only_when_trusted(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (teacher / "own.py").write_text(CODE)
    config = json.loads((teacher / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}}
    (teacher / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="--trust-remote-code"):
        find_teacher(str(teacher))
    with pytest.raises(UserError):
        load_model(teacher, device="cpu")
    assert not list(tmp_path.rglob("trace"))
    trusted = find_teacher(str(teacher), policy=LoadPolicy(code=True))
    model = load_model(trusted.path, device="cpu", policy=trusted.policy)
    assert type(model[0].auto_model).__name__ == "OwnModel"


def with_code_elsewhere(teacher: Path, model_type: str) -> None:
    config = json.loads((teacher / "config.json").read_text())
    config |= {"model_type": model_type, "auto_map": {"AutoModel": "org/impl--modeling.OwnModel"}}
    (teacher / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("model_type", "mend"), [("own", "Save a copy of the model with the"), ("bert", "Leave out --trust-remote-code")]
)
def test_code_in_another_repo_is_refused(teacher: Path, model_type: str, mend: str) -> None:
    with_code_elsewhere(teacher, model_type)
    with pytest.raises(UserError, match=rf"takes its Python code from another repo, org/impl\. {mend}"):
        find_teacher(str(teacher), policy=LoadPolicy(code=True))
    if model_type == "bert":
        assert find_teacher(str(teacher)).settings["model_type"] == "bert"


def test_code_is_refused_before_the_weights_are_fetched(
    hub: FakeHub, online: dict[str, str], teacher: Path, tmp_path: Path
) -> None:
    with_code_elsewhere(teacher, "own")
    hub.add("model", "org/own", teacher)
    args = ["--teacher", "org/own", *PLAN]
    for more in ([], ["--trust-remote-code"]):
        refused(hub_distill(*args, *more, cwd=tmp_path, **online), "takes its Python code from another repo, org/impl")
    assert hub.asked("config.json")
    assert hub.asked("safetensors") == []


def test_a_tokenizer_is_looked_up_before_any_work(
    hub: FakeHub, online: dict[str, str], teacher: Path, tmp_path: Path
) -> None:
    hub.add("model", "org/tiny", teacher)
    args = ["--teacher", "org/tiny", "--lang", "tr", "--corpus", "sample", "--limit", "40", "--output", "run"]
    missing = hub_distill("tokenizer", *args, "--tokenizer", "org/nothing", cwd=tmp_path, **online)
    refused(missing, "The Hub knows no tokenizer 'org/nothing'")
    assert not (tmp_path / "run").exists()
    theirs = hub.add("model", "org/theirs", teacher)
    theirs.tags["v1"] = theirs.head.oid
    theirs.commit("emptied", {})
    done = hub_distill("tokenizer", *args, "--tokenizer", "org/theirs@v1", cwd=tmp_path, **online)
    succeeded(done)
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert report["tokenizer"]["revision"] == theirs.tags["v1"]


@pytest.mark.parametrize("name", ["antigravity.X", "os.path.join", "own.Module", "subprocess.Popen"])
def test_modules_json_imports_nothing_foreign(teacher: Path, name: str) -> None:
    modules = json.loads((teacher / "modules.json").read_text())
    modules[2]["type"] = name
    (teacher / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UserError, match=r"modules\.json"):
        find_teacher(str(teacher))


def test_a_dataset_that_changed_is_read_again(
    hub: FakeHub, online: dict[str, str], teacher: Path, tmp_path: Path
) -> None:
    rows, folder = list(read_table(sample_file("tr-en.tsv"))), tmp_path / "rows"
    folder.mkdir()

    def upload(start: int) -> str:
        pq.write_table(pa.table({"text": [row["tr"] for row in rows[start : start + 300]]}), folder / "rows.parquet")
        repo = hub.add("dataset", "org/text", folder)
        return repo.head.oid

    def corpus(spec: str, **env: str) -> str:
        args = ["corpus", "--teacher", str(teacher), "--lang", "tr", "--corpus", spec, "--output", "run"]
        done = hub_distill(*args, cwd=tmp_path, **{**online, **env})
        succeeded(done)
        return done.stderr

    def stats() -> dict[str, dict[str, str]]:
        return dict(json.loads((tmp_path / "run/corpus/stats.json").read_text()))

    first = upload(0)
    corpus("org/text")
    assert stats()["revisions"] == {"org/text": first}
    # What the cache remembers is enough without a network.
    assert "corpus: already done" in corpus("org/text", HF_HUB_OFFLINE="1")
    second = upload(300)
    hub.repos["dataset", "org/text"].tags["old"] = second
    assert "done again, because it depends on what changed: sources" in corpus("org/text")
    assert stats()["revisions"] == {"org/text": second}
    hub.repos["dataset", "org/text"].commit("emptied", {})
    corpus("org/text@old", HF_HOME=str(tmp_path / "cold"))
    assert stats()["revisions"] == {"org/text@old": second}
    args = ["corpus", "--teacher", str(teacher), "--lang", "tr", "--output", "run"]
    refused(hub_distill(*args, "--corpus", "org/text@no", cwd=tmp_path, **online), "No such revision of dataset")
    refused(hub_distill(*args, "--corpus", "org/nothing", cwd=tmp_path, **online), "knows no dataset 'org/nothing'")
    hub.faults.append(Fault("GET /api/datasets/org/text", 503, times=99))
    # Not taken for another state of the dataset, which would throw finished work away.
    cold = {**online, "HF_HOME": str(tmp_path / "colder")}
    refused(hub_distill(*args, "--corpus", "org/text", cwd=tmp_path, **cold), "The Hub is in trouble (status 503)")


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: gemma\n---\n", {"license": "gemma"}),
        ("---\nlicense: other\nlicense_name: own\nlicense_link: LICENSE\n---\n", {"license": "other"}),
        ("---\nlicense: [mit, gpl]\n---\n", None),
        ("---\nlicense: !!python/object/apply:os.system ['touch trace']\n---\n", None),
        ("no metadata", None),
        ("---\n: : :\n---\n", None),
    ],
)
def test_the_license_is_read_as_data(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: str, expected: dict[str, str] | None
) -> None:
    monkeypatch.chdir(tmp_path)
    (teacher / "README.md").write_text(card)
    found = find_teacher(str(teacher)).license
    assert (found or {}).get("license") == (expected or {}).get("license")
    assert not (tmp_path / "trace").exists()
