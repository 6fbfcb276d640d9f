"""What is published of a run: named, chosen and made from its record, whatever its config.toml says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub_tools.config import EmbedConfig, PublishConfig, RunConfig
from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.files import write_text
from hub_tools.core.run_record import read_record
from hub_tools.core.versions import versions
from hub_tools.hub import publish as hub_publish
from hub_tools.hub.contents import collect
from hub_tools.hub.repos import Repo, chosen_ids, repo_ids
from hub_tools.hub.space_repo import run_files
from hub_tools.reporting.report import FullReport, read_report
from tests import fake_run
from tests.fake_hub import FakeHub

ADA = {"namespace": "ada", "name": "x-tr"}
CONFIGS = {
    "of a later stage": "teacher = 'org/b'\nlang = 'de'\n[publish]\nprivate = false\n[embed]\nuse = 'org/vectors'\n",
    "damaged": "private = [",
    "of nothing": "",
}


@pytest.fixture
def values() -> dict[str, Any]:
    return fake_run.read_report()


@pytest.fixture
def run(values: dict[str, Any], tmp_path: Path) -> Path:
    return fake_run.write_run(tmp_path / "run", values)


@pytest.fixture
def logged_in(hub: FakeHub, online: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub that this process talks to, logged in as ada."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", online["HF_TOKEN"])
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield hub


def contents(run: Path, *kinds: str) -> dict[str, Repo]:
    report = read_report(run)
    ids = repo_ids(report.config)
    repos = collect(run, report, kinds, {kind: ids[kind] for kind in kinds})
    return {repo.kind: repo for repo in repos}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_another_configuration_publishes_the_same_run(run: Path, config: str) -> None:
    private = {"namespace": "ada", "private": True}
    before, card = hub_publish.plan_push(run, private), contents(run, "model")["model"].files["README.md"]
    assert "ada/embeddinggemma-300m-tr (private)" in before
    write_text(run / "config.toml", "# The options of a hub-distill run.\n" + config)
    assert hub_publish.plan_push(run, private) == before
    assert contents(run, "model")["model"].files["README.md"] == card


def test_what_was_private_stays_private(values: dict[str, Any], tmp_path: Path, logged_in: FakeHub) -> None:
    values["config"]["publish"] |= {"private": False}
    run = fake_run.write_run(tmp_path / "run", values)
    hub_publish.publish(run, {**ADA, "only": ("tokenizer",), "private": True})
    assert read_record(run).publish["private"]
    for given in ({**ADA, "only": ("model",)}, {**ADA, "only": ("model",), "private": False}):
        hub_publish.publish(run, given)
        assert "x-tr (private)" in hub_publish.plan_push(run, given)
    assert {repo.id: repo.private for repo in logged_in.repos.values()} == {
        "ada/x-tr-tokenizer": True,
        "ada/x-tr": True,
    }


def test_a_private_job_is_published_in_private(values: dict[str, Any], tmp_path: Path, logged_in: FakeHub) -> None:
    values["config"]["publish"] |= {"private": True, "only": ["model"]}
    run = fake_run.write_run(tmp_path / "run", values)
    write_text(run / "config.toml", "# The options of a hub-distill run.\n" + CONFIGS["of a later stage"])
    assert hub_publish.publish(run, {"name": "x-tr"}) == [f"{logged_in.endpoint}/ada/x-tr"]
    assert [(repo.id, repo.private) for repo in logged_in.repos.values()] == [("ada/x-tr", True)]


def test_publishing_again_commits_nothing(run: Path, logged_in: FakeHub) -> None:
    urls = hub_publish.publish(run, {**ADA, "tag": "v1"})
    assert len(urls) == 4
    assert hub_publish.publish(run, {**ADA, "tag": "v1"}) == urls
    assert all(len(repo.commits) == 2 for repo in logged_in.repos.values())
    write_text(run / "student" / "modules.json", "something else")
    fake_run.mark(run, read_record(run))
    with pytest.raises(UserError, match="A release does not change: choose a new --tag"):
        hub_publish.publish(run, {**ADA, "tag": "v1"})
    assert all(len(repo.commits) == 2 for repo in logged_in.repos.values())


def test_vectors_of_others_are_not_published(values: dict[str, Any], tmp_path: Path) -> None:
    values["config"]["embed"] = {"use": "org/vectors"}
    run = fake_run.write_run(tmp_path / "run", values)
    assert "x-tr-embeddings" not in hub_publish.plan_push(run, ADA)
    assert "x-tr-embeddings" not in hub_publish.plan_push(run, {**ADA, "only": ("model", "dataset")})
    values["config"]["embed"] = {}
    assert "x-tr-embeddings" in hub_publish.plan_push(fake_run.write_run(tmp_path / "own", values), ADA)


def test_each_repo_has_its_files(run: Path) -> None:
    for name in ("tensorboard/events", ".cache/x", "__pycache__/own.pyc"):
        write_text(run / "student" / name, "")
    repos = contents(run, "model", "tokenizer", "dataset", "space")
    license_files = {"LICENSE", "NOTICE"}
    figures = {f"figures/{name}.png" for name in ("scores", "quality", "tokens_per_word", "heldout_cosine")}
    assert set(repos["model"].files) == {"README.md", "model.safetensors", "modules.json"} | figures | license_files
    assert set(repos["tokenizer"].files) == {"README.md", "tokenizer.json", "tokenizer_config.json"} | license_files
    assert set(repos["dataset"].files) == {"README.md", "manifest.json", "train-00000.parquet"}
    plain = {"README.md", "app.py", "requirements.txt"}
    turkish = {name.replace(".png", ".tr.png") for name in figures}
    assert set(repos["space"].files) == plain | {"space.json", "report.json", "thumbnail.png"} | figures | turkish


def test_a_space_reads_the_model_with_what_made_it(values: dict[str, Any], tmp_path: Path) -> None:
    values["versions"] |= {"torch": "2.12.1+cu130", "transformers": "5.21.0.dev0", "sentence-transformers": "6.4.0"}
    run = fake_run.write_run(tmp_path / "other", values)
    lines = bytes(contents(run, "model", "space")["space"].files["requirements.txt"]).decode().splitlines()
    assert lines[1:4] == ["torch==2.12.1", "transformers==5.21.0", "sentence-transformers==6.4.0"]
    # The page is this one, and reads the report that is pushed with it.
    assert lines[-1] == f"hub-tools[demo,space]=={versions()['hub-tools']}"
    report = replace(FullReport.from_dict(values), versions={})
    assert b"\ntorch\ntransformers\n" in run_files(report, {"model": "ada/x"})["requirements.txt"]


def test_the_teachers_notice_comes_before_ours(run: Path) -> None:
    write_text(run / "clone" / "license" / "NOTICE", "The teacher's.\n\n")
    fake_run.mark(run, read_record(run))
    notice = contents(run, "model")["model"].files["NOTICE"]
    assert isinstance(notice, bytes)
    assert notice.startswith(b"The teacher's.\n\nGemma is provided under")


def test_a_ready_tokenizer_is_published_without_the_teachers_license(values: dict[str, Any], tmp_path: Path) -> None:
    values["config"]["tokenizer"] = {"use": "org/tokenizer"}
    run = fake_run.write_run(tmp_path / "run", values)
    assert not {"LICENSE", "NOTICE"} & set(contents(run, "tokenizer")["tokenizer"].files)


def test_a_space_names_its_models_and_shows_no_path(run: Path, values: dict[str, Any]) -> None:
    files = contents(run, "model", "space")["space"].files
    settings, report = (json.loads(bytes(files[name])) for name in ("space.json", "report.json"))
    assert settings == {
        "student": "ada/embeddinggemma-300m-tr",
        "teacher": f"google/embeddinggemma-300m@{'c' * 40}",
        "tokenizer": None,
        "dataset": None,
    }
    assert str(run.parent) not in json.dumps(report)
    assert FullReport.from_dict(report).evaluation == FullReport.from_dict(values).evaluation


@pytest.mark.parametrize(
    ("options", "vectors", "expected"),
    [
        ({}, None, ["x-tr", "x-tr-tokenizer", "x-tr-embeddings"]),
        ({"space": True}, "org/vectors", ["x-tr", "x-tr-tokenizer", "x-tr-demo"]),
        ({"only": ("dataset", "model")}, None, ["x-tr-embeddings", "x-tr"]),
    ],
)
def test_what_is_chosen_is_published(options: dict[str, Any], vectors: str | None, expected: list[str]) -> None:
    publish, embed = PublishConfig(**ADA, **options), EmbedConfig(use=vectors)
    config = RunConfig(teacher="org/x", lang=("tr",), publish=publish, embed=embed)
    assert list(chosen_ids(config).values()) == [f"ada/{name}" for name in expected]


@pytest.mark.parametrize("name", ["a--b", "ends-", "x" * 90, "schön", ".."])
def test_a_name_that_the_hub_refuses_is_refused_before(run: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a repo on the Hub"):
        hub_publish.plan_push(run, {"namespace": "ada", "name": name})


def test_without_a_namespace_nothing_is_planned(values: dict[str, Any], tmp_path: Path) -> None:
    values["config"]["publish"] = {}
    with pytest.raises(UsageError, match="Missing --push-to-hub NAMESPACE"):
        hub_publish.plan_push(fake_run.write_run(tmp_path / "run", values), {})


def test_a_run_that_does_not_exist_can_be_checked_by_its_name(tmp_path: Path, logged_in: FakeHub) -> None:
    assert logged_in.endpoint
    expected = ["ada/x-tr", "ada/x-tr-tokenizer", "ada/x-tr-embeddings"]
    assert hub_publish.check(tmp_path / "none", ADA) == expected
    assert hub_publish.check(tmp_path / "none", {**ADA, "only": ("dataset",)}) == expected[2:]
    with pytest.raises(UsageError, match="--check needs --name"):
        hub_publish.check(tmp_path / "none", {"namespace": "ada"})


def test_a_run_is_checked_by_its_record(run: Path, logged_in: FakeHub) -> None:
    logged_in.add("model", "ada/embeddinggemma-300m-tr")
    assert hub_publish.check(run, {"only": ("model",)}) == ["ada/embeddinggemma-300m-tr"]
    with pytest.raises(UserError, match="is public, and --private was asked for"):
        hub_publish.check(run, {"only": ("model",), "private": True})


def test_a_folder_that_is_no_run_is_not_published(tmp_path: Path) -> None:
    for command in (hub_publish.publish, hub_publish.plan_push):
        with pytest.raises(UserError, match="is no run folder"):
            command(tmp_path / "none", ADA)
    assert not (tmp_path / "none").exists()


def test_a_run_that_is_not_finished_is_not_published(run: Path) -> None:
    (run / "student" / ".done.json").unlink()
    with pytest.raises(UserError, match="is not finished: student is missing"):
        hub_publish.plan_push(run, ADA)


def test_an_unknown_kind_of_repo_is_wrong_usage(run: Path) -> None:
    with pytest.raises(UsageError, match="modle"):
        hub_publish.plan_push(run, {"namespace": "ada", "only": ("modle",)})
