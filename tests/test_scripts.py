"""What the workflows run, run here."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import results
from benchmarks.bars import Bar, bars_of_demo, bars_of_results, below
from hub_tools.core.files import write_json
from hub_tools.corpus.readers import read_table, sample_file
from tests.commands import CANARY, Result, finish, hub_distill, hub_distill_process, refused, succeeded
from tests.fake_hub import ID_TOKEN, FakeHub, User

ROOT = Path(__file__).parents[1]


def test_release_notes_are_those_of_the_version(tmp_path: Path) -> None:
    def notes(tag: str) -> Result:
        return finish([sys.executable, str(ROOT / "scripts/release_notes.py"), tag], cwd=tmp_path)

    for name in ("pyproject.toml", "CHANGELOG.md", "CITATION.cff", "hub_tools/job_script.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = f"## [{version}] - "
    (tmp_path / "CHANGELOG.md").write_text(changes.replace(f"{first}unreleased", f"{first}2026-12-01"))
    done = notes(f"v{version}")
    succeeded(done)
    assert done.stdout.startswith("### Added\n\n- ")
    assert "\n## " not in done.stdout
    (tmp_path / "CHANGELOG.md").write_text(changes)
    assert f"CHANGELOG.md calls {version} unreleased" in notes(f"v{version}").stderr
    (tmp_path / "CITATION.cff").write_text("version: 99.0.0\n")
    assert f"CITATION.cff does not name version {version}." in notes(f"v{version}").stderr
    wrong = notes("v99.0.0")
    assert wrong.returncode == 1
    assert f"The tag is v99.0.0, but pyproject.toml has version {version}." in wrong.stderr


def report_of(bars: dict[str, Bar]) -> dict[str, Any]:
    """A report of a student that reaches bars, no more and no less."""
    rows = [(*name.split(", ", 1), bar.value / 100) for name, bar in bars.items()]
    return {"evaluation": [{"task": t, "metric": m, "models": {"student": {"value": v}}} for t, m, v in rows]}


def test_a_demo_below_its_bars_is_named() -> None:
    reached = bars_of_demo()
    sts, _, translations = reached
    assert [name.partition(" ")[0] for name in reached] == ["STS", "retrieval", "translations"]
    report = report_of(reached)
    assert below(report, reached, "README.md") == []
    report["evaluation"][0]["models"]["student"]["value"] -= 0.1
    del report["evaluation"][2]
    assert [said.partition(":")[0] for said in below(report, reached, "README.md")] == [sts, translations]


def test_a_whole_run_below_its_bars_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As `python -m benchmarks.results --check` says it; small sets of items may differ by more."""
    monkeypatch.setattr(results, "write_stsb_pairs", lambda *_: None)
    monkeypatch.setattr(results, "hub_distill", lambda *_: None)
    known = results.runs(tmp_path, tmp_path, tmp_path)
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    asked = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text(encoding="utf-8"))["jobs"]["results"]
    assert [name for name in asked["strategy"]["matrix"]["run"] if f"\n### {known[name].title}\n" not in page] == []
    reached = bars_of_results(known["e5-tr"].title)
    report = report_of(reached)
    (tmp_path / "e5-tr").mkdir()

    def problems() -> list[str]:
        write_json(tmp_path / "e5-tr/report.json", report)
        return results.check(known, ["e5-tr"], tmp_path)

    assert problems() == []
    large, small = (next(name for name, bar in reached.items() if (bar.n < 200) == few) for few in (False, True))
    for name, lost in ((large, 1.4), (small, 7.9)):
        report["evaluation"][list(reached).index(name)]["models"]["student"]["value"] -= lost / 100
    assert problems() == []
    report["evaluation"][list(reached).index(large)]["models"]["student"]["value"] -= 0.002
    least = f"{reached[large].value - 1.5:.1f} is the least that passes."
    assert problems() == [
        f"e5-tr: {large}: {reached[large].value - 1.6:.1f}; docs/results.md has {reached[large].value:.1f}, and {least}"
    ]
    assert below(report, bars_of_results("no such run"), "docs/results.md") == [
        "docs/results.md has no figures of such a run, so nothing can be compared."
    ]


def test_a_space_is_synced_and_pinned(hub: FakeHub, online: dict[str, str], tmp_path: Path) -> None:
    script = str(ROOT / "scripts/sync_space.sh")
    hub.add("space", "ada/demo")
    env = {**online, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HF_HUB_DISABLE_XET": "1"}
    nothing = finish(["bash", script, "ada/demo", "0.1.0", "space"], cwd=tmp_path, **env)
    succeeded(nothing)
    assert "There is no Space in space." in nothing.stdout
    for wrong in ("0.1.0/e id #", "$(id)", "-1", ""):
        refused(finish(["bash", script, "ada/demo", wrong, "space"], cwd=tmp_path, **env), "is no version", code=2)
    (tmp_path / "space").mkdir()
    (tmp_path / "space/old.py").write_text("import this\n")
    (tmp_path / "space/README.md").write_text("---\nsdk: gradio\n---\n")
    (tmp_path / "space/requirements.txt").write_text("gradio\nhub-tools[demo,space]==0.0.1\n")
    done = finish(["bash", script, "ada/demo", "0.1.0", "space"], cwd=tmp_path, **env)
    succeeded(done)
    assert hub.read("space", "ada/demo", "requirements.txt") == b"gradio\nhub-tools[demo,space]==0.1.0\n"
    assert hub.repos["space", "ada/demo"].head.title == "hub-tools 0.1.0"
    assert b"thumbnail" not in hub.read("space", "ada/demo", "README.md")
    (tmp_path / "space/thumbnail.png").write_bytes(b"a picture")
    (tmp_path / "space/old.py").unlink()
    done = finish(["bash", script, "ada/demo", "0.1.1", "space"], cwd=tmp_path, **env)
    succeeded(done)
    files = {".gitattributes", "README.md", "requirements.txt", "thumbnail.png"}
    assert set(hub.repos["space", "ada/demo"].head.files) == files
    # The picture that links to the Space are shown with is the one in it.
    address = "https://huggingface.co/spaces/ada/demo/resolve/main/thumbnail.png"
    assert yaml.safe_load(hub.read("space", "ada/demo", "README.md").decode().split("---")[1])["thumbnail"] == address


def dataset(folder: Path) -> Path:
    """Wikipedia in two languages, small."""
    configs = []
    for code in ("tr", "en"):
        rows = "".join(
            json.dumps({"text": row[code]}) + "\n" for row in list(read_table(sample_file("tr-en.tsv")))[::3]
        )
        (folder / f"{code}.jsonl").write_text(rows, encoding="utf-8")
        configs.append({"config_name": f"20231101.{code}", "data_files": f"{code}.jsonl"})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n", encoding="utf-8")
    return folder


INPUTS = {"teacher": "org/tiny", "lang": "tr", "vocab_size": "4096", "namespace": "ada", "name": "tiny-tr"}
REPOS = {"ada/tiny-tr": "model", "ada/tiny-tr-tokenizer": "model", "ada/tiny-tr-embeddings": "dataset"}


def resource(repo_id: str) -> str:
    return ("datasets/" if REPOS[repo_id] == "dataset" else "") + repo_id


def steps_of(job: str, **inputs: str) -> list[tuple[str, dict[str, str]]]:
    """The commands of a job of distill.yml, each with its environment; no variable or secret is set."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/distill.yml").read_text(encoding="utf-8"))
    given = {**{f"inputs.{k}": v for k, v in (INPUTS | inputs).items()}, "vars.HF_READER": "", "secrets.HF_TOKEN": ""}

    def filled(values: dict[str, str]) -> dict[str, str]:
        return {k: re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda m: given[m[1]], v) for k, v in values.items()}

    steps = [s for s in workflow["jobs"][job]["steps"] if s.get("run", "").startswith("hub-distill")]
    return [(step["run"], filled(workflow["env"]) | filled(step["env"])) for step in steps]


def words_of(step: str, env: dict[str, str], cwd: Path) -> list[str]:
    """The words that bash gives to hub-distill."""
    said = finish(["bash", "-e", "-c", f"hub-distill() {{ printf '%s\\n' \"$@\"; }}\n{step}"], cwd=cwd, **env)
    succeeded(said)
    return said.stdout.splitlines()


@pytest.fixture
def runner(hub: FakeHub, online: dict[str, str]) -> dict[str, str]:
    """A GitHub runner, and three repos with a trusted publisher each."""
    hub.users.clear()
    for repo_id, kind in REPOS.items():
        hub.add(kind, repo_id)
        token = f"hf_jwt_{repo_id.partition('/')[2]}"
        hub.users[token] = User("workflow", role="fineGrained", write=(repo_id,))
        hub.publishers[resource(repo_id)] = token
    return {**online, "HF_OIDC_ID_TOKEN": ID_TOKEN, "HF_TOKEN": ""}


def test_the_distill_workflow_misses_a_publisher_before_any_work(
    hub: FakeHub, runner: dict[str, str], tmp_path: Path
) -> None:
    del hub.publishers[resource("ada/tiny-tr-embeddings")]
    *first, (missed, missed_env) = steps_of("gpu")[:3]
    for step, own in first:
        done = hub_distill(*words_of(step, own, tmp_path), cwd=tmp_path, **runner, **own)
        succeeded(done)
        assert f"may be written: {own['HF_OIDC_RESOURCE']}\n" in done.stdout
    done = hub_distill(*words_of(missed, missed_env, tmp_path), cwd=tmp_path, **runner, **missed_env)
    refused(done, "No trusted publisher for datasets/ada/tiny-tr-embeddings")


def test_the_distill_workflow_submits_a_job(hub: FakeHub, runner: dict[str, str], tmp_path: Path) -> None:
    hub.users[CANARY] = User("ada")
    env = {**runner, "HF_HUB_DISABLE_XET": "0"}
    for size in ("", "4096"):
        ((step, own),) = steps_of("jobs", vocab_size=size)
        words = words_of(step, own, tmp_path)
        succeeded(hub_distill_process(*words, cwd=tmp_path, **{**env, **own, "HF_TOKEN": CANARY}))
    empty, given = (" ".join(job["command"]) for job in hub.jobs)
    assert empty.endswith("job_script.py --teacher org/tiny --lang tr --push-to-hub ada --name tiny-tr")
    assert "--lang tr --vocab-size 4096 --push-to-hub" in given


def test_the_distill_workflow_gives_each_step_its_own_token(
    hub: FakeHub, runner: dict[str, str], tiny_teacher: Path, tmp_path: Path
) -> None:
    """The steps of the GPU job of distill.yml: no publisher for ada, whose public teacher is read by nobody."""
    hub.add("model", "org/tiny", tiny_teacher)
    (tmp_path / "wikipedia").mkdir()
    hub.add("dataset", "wikimedia/wikipedia", dataset(tmp_path / "wikipedia"))
    steps = steps_of("gpu")
    assert len(steps) == 7
    for step, own in steps:
        done = hub_distill(*words_of(step, own, tmp_path), cwd=tmp_path, **runner, **own)
        succeeded(done)
        assert "hf_jwt" not in done.stdout + done.stderr
    # Each repo got one commit, with the token that may write to no other.
    assert [len(hub.repos[kind, repo_id].commits) for repo_id, kind in REPOS.items()] == [2, 2, 2]
    wrote = {(r.path.partition("/commit/")[0].partition("s/")[2], r.token) for r in hub.asked("POST .*/commit/")}
    assert wrote == {(repo_id, f"hf_jwt_{repo_id.partition('/')[2]}") for repo_id in REPOS}
    assert (
        hub.repos["dataset", "wikimedia/wikipedia"].head.oid in hub.read("model", "ada/tiny-tr", "README.md").decode()
    )
    assert hub.asked("POST /api/collections") == []


def test_actions_are_pinned_and_workflows_ask_for_nothing_by_default() -> None:
    workflows = sorted((ROOT / ".github/workflows").glob("*.yml"))
    assert [w.stem for w in workflows] == ["ci", "distill", "nightly", "publish", "space"]
    for file in workflows:
        text = file.read_text(encoding="utf-8")
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {}
        assert workflow["concurrency"]
        assert all("timeout-minutes" in job and "permissions" in job for job in workflow["jobs"].values())
        uses = re.findall(r"uses: (\S+)", text)
        assert [u for u in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", u)] == []
        # Inputs reach a shell through its environment, never through the text of the script.
        scripts = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
        assert scripts
        assert [script for script in scripts if "${{" in script] == []
