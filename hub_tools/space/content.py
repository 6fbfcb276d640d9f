"""What the page shows: a run folder here, or the models that a published Space names in its space.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hub_tools.core.files import read_as
from hub_tools.core.hub_errors import hub_errors
from hub_tools.core.names import short_name
from hub_tools.core.run_files import check_links
from hub_tools.models.loading import LoadPolicy
from hub_tools.models.resolve import find_teacher
from hub_tools.reporting.figures import FOLDER, draw_figures
from hub_tools.reporting.redact import redact_report
from hub_tools.reporting.report import FullReport, read_report
from hub_tools.reporting.sentences import SENTENCES
from hub_tools.reporting.space_settings import SETTINGS_FILE, SPACE_SUFFIX, SpaceSettings
from hub_tools.space.model import Model

PAPER = "https://arxiv.org/abs/2605.29992"
CODE = "https://pypi.org/project/hub-tools/"
_HUB = "https://huggingface.co"


@dataclass(frozen=True, kw_only=True)
class SpaceContent:
    """The models of a Space and what was measured."""

    models: Mapping[str, Model]  # teacher (if it can be had) and student
    report: FullReport  # without folders of a machine
    figures: Mapping[str, bytes] = field(default_factory=dict)  # name of the file, in every language -> PNG
    links: Mapping[str, str] = field(default_factory=dict)  # key of `i18n.TEXTS` -> address

    @property
    def target(self) -> str:
        """Code of the language."""
        return self.report.target

    @property
    def titles(self) -> dict[str, str]:
        """Name -> what visitors read of the model."""
        return {name: model.title for name, model in self.models.items()}

    @property
    def ids(self) -> dict[str, str]:
        """Id on the Hub -> name, of those models that are there too."""
        addresses = {"teacher": self.links.get("link_teacher"), "student": self.links.get("link_model")}
        return {address.removeprefix(f"{_HUB}/"): name for name, address in addresses.items() if address}


def from_run(run: Path) -> SpaceContent:
    """Return the content of a finished run folder.

    Raises:
        UserError: the run is not finished, or its teacher is gone.
    """
    report = read_report(run, {"student"})
    public = redact_report(report)
    teacher = find_model("teacher", report.teacher.spec, report)
    student = Model("student", f"{teacher.title}-{report.target}", Path(report.student.id), policy=_policy(report))
    figures = {name: picture for lang in SENTENCES for name, picture in draw_figures(run, report, lang).items()}
    return SpaceContent(
        models={"teacher": teacher, "student": student}, report=public, figures=figures, links=_links(public)
    )


def from_settings(folder: Path) -> SpaceContent:
    """Return the content of a published Space, from a folder with space.json, report.json and figures/.

    Raises:
        UserError: a file is missing or damaged, or a model cannot be had.
    """
    figures = sorted((folder / FOLDER).glob("*.png"))
    check_links(folder, [folder / SETTINGS_FILE, folder / "report.json", *figures])
    settings, report = SpaceSettings.read(folder), read_as(FullReport, folder / "report.json")
    specs = {"teacher": settings.teacher, "student": settings.student}
    models = {name: find_model(name, spec, report) for name, spec in specs.items() if spec}
    pictures = {file.name: file.read_bytes() for file in figures}
    return SpaceContent(models=models, report=report, figures=pictures, links=_links(report, settings))


def from_hub(student: str) -> SpaceContent:
    """Return the content of the Space that was published with a student, found by the student's id on the Hub.

    Raises:
        UserError: there is no such Space, or the Hub cannot be reached; see also `from_settings`.
    """
    from huggingface_hub import snapshot_download

    space = student + SPACE_SUFFIX
    with hub_errors(f"Space {space!r}"):
        folder = snapshot_download(
            space, repo_type="space", allow_patterns=[SETTINGS_FILE, "report.json", f"{FOLDER}/*.png"]
        )
    return from_settings(Path(folder))


def find_model(name: str, spec: str, report: FullReport) -> Model:
    """Return teacher or student, with what the run trusted it with and the prompts of the run.

    `spec` is a Hub id, with a revision or without; a folder; or `bundled`.

    Raises:
        UserError: the model cannot be had.
    """
    policy, embed = _policy(report), report.config.embed
    source = find_teacher(spec, policy=policy)
    asked = {"query": embed.query_prompt, "document": embed.document_prompt}
    prompts = {role: prompt for role, prompt in asked.items() if prompt is not None}
    return Model(
        name, short_name(spec), source.path, tokenizer_folder=source.input_folder, policy=policy, prompts=prompts
    )


def _policy(report: FullReport) -> LoadPolicy:
    return LoadPolicy(code=report.config.trust_remote_code, pickle=report.config.allow_pickle)


def _links(report: FullReport, settings: SpaceSettings | None = None) -> dict[str, str]:
    repos = {
        "link_model": ("", settings and settings.student),
        "link_tokenizer": ("", settings and settings.tokenizer),
        "link_dataset": ("datasets/", settings and settings.dataset),
        "link_teacher": ("", report.teacher.hub_id),
    }
    links = {key: f"{_HUB}/{kind}{repo.partition('@')[0]}" for key, (kind, repo) in repos.items() if repo}
    return {**links, "link_code": CODE, "link_paper": PAPER}
