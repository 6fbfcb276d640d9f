"""What the workflows run, run here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hub_tools.sources import read_table, sample_file
from tests.fake_hub import ID_TOKEN, FakeHub, User
from tests.test_cli import finish

ROOT = Path(__file__).parents[1]


def notes(tag: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/release_notes.py"), tag]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_release_notes_are_those_of_the_version() -> None:
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    done = notes(f"v{version}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("- ")
    assert "## " not in done.stdout
    wrong = notes("v99.0.0")
    assert wrong.returncode == 1
    assert f"The tag is v99.0.0, but pyproject.toml has version {version}." in wrong.stderr


def test_a_space_is_synced_and_pinned(hub: FakeHub, online: dict[str, str], tmp_path: Path) -> None:
    script = str(ROOT / "scripts/sync_space.sh")
    hub.add("space", "ada/demo")
    env = {**online, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HF_HUB_DISABLE_XET": "1"}
    nothing = finish(["bash", script, "ada/demo", "0.1.0", "space"], cwd=tmp_path, **env)
    assert nothing.returncode == 0
    assert "There is no Space in space." in nothing.stdout
    (tmp_path / "space").mkdir()
    (tmp_path / "space/README.md").write_text("---\nsdk: gradio\n---\n")
    (tmp_path / "space/requirements.txt").write_text("gradio\nhub-tools[demo,space]==0.0.1\n")
    done = finish(["bash", script, "ada/demo", "0.1.0", "space"], cwd=tmp_path, **env)
    assert done.returncode == 0, done.stderr
    assert hub.read("space", "ada/demo", "requirements.txt") == b"gradio\nhub-tools[demo,space]==0.1.0\n"
    assert hub.repos["space", "ada/demo"].head.title == "hub-tools 0.1.0"


def dataset(folder: Path) -> Path:
    """Wikipedia in two languages, small."""
    configs = []
    for code in ("tr", "en"):
        rows = "".join(json.dumps({"text": row[code]}) + "\n" for row in read_table(sample_file("tr-en.tsv")))
        (folder / f"{code}.jsonl").write_text(rows, encoding="utf-8")
        configs.append({"config_name": f"20231101.{code}", "data_files": f"{code}.jsonl"})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n", encoding="utf-8")
    return folder


@pytest.mark.slow
def test_the_distill_workflow_gives_each_step_its_own_token(
    hub: FakeHub, online: dict[str, str], tiny_teacher: Path, tmp_path: Path
) -> None:
    """The steps of the GPU job of distill.yml, with one trusted publisher a repo."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/distill.yml").read_text(encoding="utf-8"))
    inputs = {"teacher": "org/tiny", "lang": "tr", "vocab_size": "4096", "namespace": "ada", "name": "tiny-tr"}

    def filled(values: dict[str, str]) -> dict[str, str]:
        return {k: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda m: inputs[m[1]], v) for k, v in values.items()}

    hub.add("model", "org/tiny", tiny_teacher)
    (tmp_path / "wikipedia").mkdir()
    hub.add("dataset", "wikimedia/wikipedia", dataset(tmp_path / "wikipedia"))
    hub.users.clear()
    hub.users["hf_jwt_reads"] = User("ada", role="read")
    hub.publishers["ada"] = "hf_jwt_reads"
    repos = {"ada/tiny-tr": "model", "ada/tiny-tr-tokenizer": "model", "ada/tiny-tr-embeddings": "dataset"}
    for repo_id, kind in repos.items():
        hub.add(kind, repo_id)
        token = f"hf_jwt_{repo_id.partition('/')[2]}"
        hub.users[token] = User("workflow", role="fineGrained", write=(repo_id,))
        hub.publishers[("datasets/" if kind == "dataset" else "") + repo_id] = token
    env = {**online, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HF_OIDC_ID_TOKEN": ID_TOKEN}
    steps = [s for s in workflow["jobs"]["gpu"]["steps"] if s.get("run", "").startswith("hub-distill")]
    assert len(steps) == 4
    for step in steps:
        own = {**env, **filled(workflow["env"]), **filled(step["env"]), "HF_TOKEN": ""}
        done = finish(["bash", "-e", "-c", step["run"]], cwd=tmp_path, **own)
        assert done.returncode == 0, done.stderr
        assert "hf_jwt" not in done.stdout + done.stderr
    # Each repo got one commit, with the token that may write to no other.
    assert [len(hub.repos[kind, repo_id].commits) for repo_id, kind in repos.items()] == [2, 2, 2]
    wrote = {(r.path.partition("/commit/")[0].partition("s/")[2], r.token) for r in hub.asked("POST .*/commit/")}
    assert wrote == {(repo_id, f"hf_jwt_{repo_id.partition('/')[2]}") for repo_id in repos}
    assert (
        hub.repos["dataset", "wikimedia/wikipedia"].head.oid in hub.read("model", "ada/tiny-tr", "README.md").decode()
    )
    assert hub.asked("POST /api/collections") == []


def test_actions_are_pinned_and_workflows_ask_for_nothing_by_default() -> None:
    workflows = sorted((ROOT / ".github/workflows").glob("*.yml"))
    assert [w.stem for w in workflows] == ["ci", "distill", "publish", "space"]
    for file in workflows:
        text = file.read_text(encoding="utf-8")
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {}
        assert workflow["concurrency"]
        assert all("timeout-minutes" in job and "permissions" in job for job in workflow["jobs"].values())
        uses = re.findall(r"uses: (\S+)", text)
        assert [u for u in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", u)] == []
        # Inputs reach a shell through its environment, never through the text of the script.
        assert [line for line in re.findall(r"run: .*", text) if "${{" in line] == []
