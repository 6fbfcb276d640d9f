"""report.json, typed: what was made, from which teacher, and what was measured."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, cast

from hub_tools import results
from hub_tools.config import RunConfig
from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.names import hub_id
from hub_tools.core.plain import from_plain, to_plain
from hub_tools.core.run_dir import FOLDERS, check_finished
from hub_tools.core.run_record import FINETUNED, RECORD, RunRecord, StageRecord
from hub_tools.core.versions import versions
from hub_tools.tokenization.adapt import TRIM

# Folder of a stage -> its name on the command line, and the section of the report that it measures; in their order.
_STAGES: dict[str, tuple[str, str, type]] = {
    "corpus": ("corpus", "corpus", results.CorpusResult),
    "tokenizer": ("tokenizer", "tokenizer", results.TokenizerResult),
    "clone": ("clone", "clone", results.CloneResult),
    "embeddings": ("embed", "embeddings", results.EmbeddingsResult),
    "student": ("distill", "distill", results.DistillResult),
    FINETUNED: ("finetune", "finetune", results.FinetuneResult),
    "evaluation": ("evaluate", "evaluation", results.EvaluationResult),
}


@dataclass(frozen=True, kw_only=True)
class TeacherInfo(results.ModelInfo):
    """The teacher."""

    id: str  # Hub id without a revision, a folder, or `bundled`
    revision: str | None  # commit on the Hub; None for a folder
    license: dict[str, str] | None  # license, license_name and license_link, as far as the teacher's card names them

    @property
    def spec(self) -> str:
        """What --teacher takes: the id with its revision, or the folder."""
        return f"{self.id}@{self.revision}" if self.revision else self.id

    @property
    def hub_id(self) -> str | None:
        """Its id on the Hub; None for a folder."""
        return hub_id(self.id, self.revision)


@dataclass(frozen=True, kw_only=True)
class StudentInfo(results.ModelInfo):
    """The student."""

    id: str  # its folder
    code: list[str] = field(default_factory=list)  # files of Python code that came over from the teacher


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run; None for stages that did not run.

    In that of several students, `evaluation` and `costs` have their names in the place of clone and student, and speeds
    are in proportion to the teacher's, which took turns with each of them.
    """

    teacher: TeacherInfo | None = None
    student: StudentInfo | None = None
    corpus: results.CorpusResult | None = None
    tokenizer: results.TokenizerResult | None = None
    clone: results.CloneResult | None = None
    embeddings: results.EmbeddingsResult | None = None
    distill: results.DistillResult | None = None
    finetune: results.FinetuneResult | None = None
    evaluation: list[results.EvaluationRow] = field(default_factory=list)
    hardware: str | None = None  # of the evaluation
    searches: list[results.Search] = field(default_factory=list)
    costs: dict[str, results.Costs] = field(default_factory=dict)
    smaller: list[results.SmallerVectors] = field(default_factory=list)
    example: results.Example | None = None
    students: dict[str, StudentInfo] = field(default_factory=dict)  # by name, in the run of several
    config: RunConfig  # the options that the stages had
    versions: dict[str, str]  # those that trained the student
    timings: dict[str, float]  # stage -> seconds

    @property
    def target(self) -> str:
        """Code of the first language that the student is made for, which pairs are in."""
        return self.config.target

    @property
    def targets(self) -> tuple[str, ...]:
        """Codes of all of them."""
        return self.config.targets

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of shortened vectors that the student was trained for."""
        return (self.finetune and self.config.finetune.matryoshka) or self.config.distill.matryoshka

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

        Raises:
            UserError: the record is damaged.
        """
        record = record.current()
        stages = {folder: record.stages[folder] for folder in _STAGES if folder in record.stages}
        with _damage_named(run):
            sections: dict[str, Any] = {}
            for folder, stage in stages.items():
                _, section, kind = _STAGES[folder]
                sections[section] = from_plain(kind, stage.result, section)
            if "clone" in sections:
                sections |= _chosen(sections["tokenizer"], sections["clone"], sections.get("distill"))
            if "distill" in sections:
                cosine = sections["distill"].cosine_before
                sections["clone"] = replace(sections["clone"], cosine_to_teacher=cosine)
            if "evaluation" in sections:
                sections |= _models_and_scores(sections["evaluation"], stages, run / record.student)
            return (FullReport if stages.keys() >= set(FOLDERS) else Report)(
                **sections,
                config=run_config(record, run),
                versions=stages["student"].versions if "student" in stages else versions(),
                timings={_STAGES[folder][0]: stage.seconds for folder, stage in stages.items()},
            )


@dataclass(frozen=True, kw_only=True)
class FullReport(Report):
    """The report of a run of which every stage is finished: what cards and the page are written from."""

    teacher: TeacherInfo
    student: StudentInfo
    corpus: results.CorpusResult
    tokenizer: results.TokenizerResult
    clone: results.CloneResult
    embeddings: results.EmbeddingsResult
    distill: results.DistillResult


def read_report(run: Path, read: Collection[str] = FOLDERS) -> FullReport:
    """Read what was done in a finished run; `read` are the stages whose files will be used.

    Raises:
        UserError: there is no run, it is not finished, its stages do not belong together, or something is damaged.
    """
    return cast("FullReport", Report.from_record(check_finished(run, read), run))


def run_config(record: RunRecord, run: Path) -> RunConfig:
    """Build the options that the finished stages of a run had; where stages share one, the later stage's counts.

    Raises:
        UserError: the record is damaged.
    """
    values: dict[str, Any] = {}
    for folder in _STAGES:
        options = record.stages[folder].options if folder in record.stages else {}
        for key, value in options.items():
            if key not in ("teacher_info", "student"):  # several students have a configuration each
                values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    with _damage_named(run):
        return from_plain(RunConfig, {**values, "output": str(run), "publish": record.publish})


def _chosen(
    tokenizer: results.TokenizerResult, clone: results.CloneResult, distill: results.DistillResult | None
) -> dict[str, Any]:
    """Return the sections of the tokenizer and the clone that the student has: there were several."""
    name = clone.tokenizer
    if distill is not None and distill.kept_trim and clone.trim is not None:
        name = TRIM
        clone = replace(clone.trim, splits=clone.splits, tokenizer=clone.tokenizer, sizes=clone.sizes)
    if name:
        tokenizer = replace(tokenizer.others[name], others=tokenizer.others, sizes=tokenizer.sizes)
    if clone.sizes:  # with the layers that the student has
        tokenizer = replace(tokenizer, sizes=clone.sizes)
    return {"tokenizer": tokenizer, "clone": clone}


def _models_and_scores(
    result: results.EvaluationResult, stages: Mapping[str, StageRecord], student: Path
) -> dict[str, Any]:
    """Return the sections of the report that come from the evaluation."""
    models = {name: to_plain(model) for name, model in result.models.items()}
    code = sorted(name for name in stages[student.name].files if name.endswith(".py"))
    teacher = stages["clone"].options["teacher_info"]
    identity = {"id": teacher["name"], "revision": teacher["revision"], "license": teacher["license"]}
    return {
        "teacher": TeacherInfo(**models["teacher"], **identity),
        "student": StudentInfo(**models["student"], id=str(student), code=code),
        "evaluation": result.evaluation,
        "hardware": result.hardware,
        "searches": result.searches,
        "costs": result.costs,
        "smaller": result.smaller,
        "example": result.example,
    }


@contextmanager
def _damage_named(run: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, UsageError) as error:
        raise UserError(
            f"{run / RECORD} is damaged ({error}). Restore it, or run the job again with --fresh; nothing was changed."
        ) from error
