"""report.json, typed: what was made, from which teacher, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from hub_tools.config import RunConfig
from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.plain import from_plain, to_plain
from hub_tools.core.run_dir import check_finished
from hub_tools.core.run_record import RECORD, RunRecord, StageRecord, read_record
from hub_tools.core.versions import versions
from hub_tools.results import (
    CloneResult,
    CorpusResult,
    DistillResult,
    EmbeddingsResult,
    EvaluationResult,
    EvaluationRow,
    ModelInfo,
    Search,
    TokenizerResult,
)

# Folder of a stage -> its name on the command line, in the order of the run.
_STAGES = {
    "corpus": "corpus",
    "tokenizer": "tokenizer",
    "clone": "clone",
    "embeddings": "embed",
    "student": "distill",
    "evaluation": "evaluate",
}
# Folder of a stage -> the section of the report that it measures.
_SECTIONS: dict[str, tuple[str, type]] = {
    "corpus": ("corpus", CorpusResult),
    "tokenizer": ("tokenizer", TokenizerResult),
    "clone": ("clone", CloneResult),
    "embeddings": ("embeddings", EmbeddingsResult),
    "student": ("distill", DistillResult),
}


@dataclass(frozen=True, kw_only=True)
class TeacherInfo(ModelInfo):
    """The teacher.

    Attributes:
        id: Hub id or folder, without a revision.
        revision: commit on the Hub; None for a folder.
        license: license, license_name and license_link, as far as the teacher's card names them.
    """

    id: str
    revision: str | None
    license: dict[str, str] | None

    @property
    def spec(self) -> str:
        """What --teacher takes: the id with its revision, or the folder."""
        return f"{self.id}@{self.revision}" if self.revision else self.id


@dataclass(frozen=True, kw_only=True)
class StudentInfo(ModelInfo):
    """The student.

    Attributes:
        id: its folder.
        code: files of Python code that came over from the teacher.
    """

    id: str
    code: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run; None for stages that did not run.

    Attributes:
        config: the options that the stages had.
        versions: those that trained the student.
        timings: stage -> seconds.
    """

    teacher: TeacherInfo | None = None
    student: StudentInfo | None = None
    corpus: CorpusResult | None = None
    tokenizer: TokenizerResult | None = None
    clone: CloneResult | None = None
    embeddings: EmbeddingsResult | None = None
    distill: DistillResult | None = None
    evaluation: list[EvaluationRow] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)
    config: RunConfig
    versions: dict[str, str]
    timings: dict[str, float]

    @property
    def target(self) -> str:
        """Code of the language that the student is made for."""
        return self.config.target

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build a report from what `to_dict` gave.

        Raises:
            ValueError: a key is missing or unknown, or a value has another type.
        """
        return from_plain(cls, values)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, as report.json holds it."""
        values: dict[str, Any] = to_plain(self)
        return values

    @staticmethod
    def from_record(record: RunRecord, run: Path) -> Report:
        """Build the report of the stages that are finished: a `FullReport` where all of them are.

        Args:
            record: what was done.
            run: the run folder.

        Raises:
            UserError: the record is damaged.
        """
        with _damage_named(run):
            return _from_record(record, run)


@dataclass(frozen=True, kw_only=True)
class FullReport(Report):
    """The report of a run of which every stage is finished: what cards and the page are written from."""

    teacher: TeacherInfo
    student: StudentInfo
    corpus: CorpusResult
    tokenizer: TokenizerResult
    clone: CloneResult
    embeddings: EmbeddingsResult
    distill: DistillResult


def read_report(run: Path) -> FullReport:
    """Read what was done in a finished run.

    Raises:
        UserError: there is no run, it is not finished, its stages do not belong together, or its record is damaged.
    """
    record = read_record(run)
    check_finished(run)
    report = Report.from_record(record, run)
    if not isinstance(report, FullReport):
        raise UserError(f"{run} is not finished: {RECORD} does not name all stages. Run the job again.")
    return report


def run_config(record: RunRecord, run: Path) -> RunConfig:
    """Build the options that the finished stages of a run had; where stages share one, the later stage's counts.

    Raises:
        UserError: the record is damaged.
    """
    values: dict[str, Any] = {}
    for _, stage in _in_order(record):
        for key, value in stage.options.items():
            if key != "teacher_info":
                values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    with _damage_named(run):
        return from_plain(RunConfig, {**values, "output": str(run), "publish": record.publish})


@contextmanager
def _damage_named(run: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, UsageError) as error:
        raise UserError(
            f"{run / RECORD} is damaged ({error}). Restore it, or run the job again with --fresh; nothing was changed."
        ) from error


def _from_record(record: RunRecord, run: Path) -> Report:
    stages = record.stages
    sections: dict[str, Any] = {
        name: from_plain(kind, stages[folder].result, name)
        for folder, (name, kind) in _SECTIONS.items()
        if folder in stages
    }
    if {"clone", "student"} <= stages.keys():
        sections["clone"] = replace(sections["clone"], cosine_to_teacher=sections["distill"].cosine_before)
    if "evaluation" in stages:
        result = from_plain(EvaluationResult, stages["evaluation"].result, "evaluation")
        sections |= {
            "teacher": _teacher(result.models["teacher"], **stages["clone"].options["teacher_info"]),
            "student": _student(result.models["student"], run / "student"),
            "evaluation": result.evaluation,
            "searches": result.searches,
        }
    kind = FullReport if stages.keys() == _STAGES.keys() else Report
    return kind(
        **sections,
        config=run_config(record, run),
        versions=stages["student"].versions if "student" in stages else versions(),
        timings={_STAGES[folder]: stage.seconds for folder, stage in _in_order(record)},
    )


def _in_order(record: RunRecord) -> list[tuple[str, StageRecord]]:
    return [(folder, record.stages[folder]) for folder in _STAGES if folder in record.stages]


def _teacher(model: ModelInfo, *, name: str, revision: str | None, license: dict[str, str] | None) -> TeacherInfo:  # noqa: A002
    return TeacherInfo(**to_plain(model), id=name, revision=revision, license=license)


def _student(model: ModelInfo, folder: Path) -> StudentInfo:
    code = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.py"))
    return StudentInfo(**to_plain(model), id=str(folder), code=code)
