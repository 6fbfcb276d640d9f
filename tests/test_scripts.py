"""What the workflows run, run here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fake_hub import FakeHub
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


def test_actions_are_pinned_and_workflows_ask_for_nothing_by_default() -> None:
    import re

    import yaml

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
