"""report.json, typed: what was made, of what, and what was measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from hub_tools.config import RunConfig
from hub_tools.results import (
    CloneResult,
    CorpusResult,
    DistillResult,
    EmbeddingsResult,
    EvaluationRow,
    ModelInfo,
    Search,
    TokenizerResult,
)


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
