"""What each stage measured, typed: the sections of report.json.

A field is None where nothing was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# Measures of a tokenizer on text, by name: tokens_per_word, characters_per_token, ... Counts stay whole numbers.
Figures = dict[str, int | float]


@dataclass(frozen=True, kw_only=True)
class TextCounts:
    """Counts of texts, or of pairs."""

    read: int = 0  # chunks of one text count once
    kept: int = 0  # in train and held-out text
    train: int = 0
    heldout: int = 0
    dropped_empty: int = 0
    dropped_duplicate: int = 0
    dropped_in_heldout_pairs: int = 0
    dropped_long: int = 0  # pairs with a side of more than 200,000 characters


@dataclass(frozen=True, kw_only=True)
class LanguageText(TextCounts):
    """The monolingual text of one language; `characters` are those kept."""

    sources: list[str]
    characters: int = 0
    cut: int = 0  # texts that were longer than the teacher reads, each now more than one


@dataclass(frozen=True, kw_only=True)
class ParallelText(TextCounts):
    """The parallel text; `languages` are those of the source and the target side, where they are known."""

    files: list[str]
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CorpusResult:
    """The corpus."""

    languages: list[str]  # with text, the target first
    missing: list[str]  # asked for, without text
    text: dict[str, LanguageText]
    parallel: ParallelText | None = None
    revisions: dict[str, str | None] = field(default_factory=dict)  # dataset of the Hub -> its commit


@dataclass(frozen=True, kw_only=True)
class TokenizerResult:
    """The student's tokenizer beside the teacher's; measures are those of `teacher` and `student`."""

    family: str
    vocab_size: int
    kept: int
    added: int
    added_reachable: int | None  # tokens that some text produces; None for a ready tokenizer
    specials_kept: int
    placeholders_dropped: int | None = None
    sources: dict[str, int] | None = None  # rule -> tokens that it put into the vocabulary
    new_characters: list[str] | None = None
    split: float | None = None  # WordPiece: share of the free room for the teacher's tokens; else kept of all tokens
    objective: dict[str, float] | None = None  # WordPiece: its value for each share tried; else of teacher and student
    normalizer_changes: list[str] = field(default_factory=list)
    fertility: dict[str, dict[str, float]]  # tokens per word, by language
    measures: dict[str, dict[str, Figures]]  # by language
    parity: dict[str, float] | None = None  # tokens for one of the source side's, on held-out pairs
    unused: dict[str, int] | None = None  # ids that none of the measured texts uses
    new_unknowns: int
    round_trip_failures: int
    revision: str | None = None  # commit of a ready tokenizer of the Hub


@dataclass(frozen=True, kw_only=True)
class CloneResult:
    """How the embedding rows were made, in rows, and the clone's mean cosine to the teacher on held-out text."""

    exact: int
    composed: int
    byte: int
    fallback: int
    aligned: int = 0
    focus: int | None = None
    distilled: int | None = None
    cosine_to_teacher: float | None = None  # filled in from the training


@dataclass(frozen=True, kw_only=True)
class EmbeddingsResult:
    """The dataset of the teacher's vectors."""

    teacher: str | None  # id of the model that computed them; None where an imported dataset does not say
    revision: str | None
    precision: str | None  # of the arithmetic; `dtype` is that of the stored vectors
    max_seq_length: int | None
    truncation_side: str | None
    pooling: str | None
    prompts: dict[str, str]
    default_prompt_name: str | None
    prompting: dict[str, Any] | None  # rule by which texts got a prompt
    rows: int
    splits: dict[str, int]  # split -> rows
    dim: int
    dtype: str
    normalized: bool
    bytes: int
    tokens: int | None
    rows_by_prompt: dict[str, int]
    rows_per_second: float | None = None
    teacher_bitext_accuracy: float | None = None  # share of held-out translations that the teacher finds
    # Languages whose monolingual text was left out, because the teacher does not know them.
    left_out: list[str] = field(default_factory=list)
    taken_from: dict[str, str | None] | None = None  # name and revision of an imported dataset


@dataclass(frozen=True, kw_only=True)
class DistillResult:
    """The training; cosines are means over held-out texts, None where there are none."""

    device: str
    precision: str
    steps: int
    best_step: int
    tokens: int
    tokens_per_second: float | None
    learning_rate: float
    cosine_before: float | None
    cosine_after: float | None
    minutes: float


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a model is."""

    architecture: str
    params: int
    vocab_size: int
    dim: int
    max_seq_length: int | None


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A number, and bounds that hold it with a probability of 95 %; None where nothing was drawn anew."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def has_bounds(self) -> bool:
        """Whether it is known how sure it is."""
        return self.low is not None and self.high is not None

    @property
    def is_clear(self) -> bool:
        """Whether a difference is more than noise: 0 is outside of its bounds."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, kw_only=True)
class Figure(Interval):
    """What a model reaches at a task, and how far that is from the models before it, by name."""

    differences: dict[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EvaluationRow:
    """One measurement of several models, the first of them what the others are compared with."""

    task: str
    split: str  # train, dev, test, heldout or `as given`
    metric: str
    n: int | None  # texts, pairs or queries
    models: dict[str, Figure | None]  # None where it is not defined
    is_main: bool = True  # whether it is the first measure of its task, by which models are judged
    prompts: dict[str, dict[str, str]] = field(
        default_factory=dict
    )  # model -> side of the data -> what stood before it
    supervised: bool = False  # whether the student was trained with labels of this task
    reason: str | None = None  # why a value is None, where the task can say it

    def value(self, model: str) -> float | None:
        """Return what a model reaches; None where that is not defined, or it was not measured."""
        figure = self.models.get(model)
        return None if figure is None else figure.value


@dataclass(frozen=True, kw_only=True)
class Search:
    """A question, and the passage that each model finds first."""

    query: str
    teacher: str
    student: str


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """Teacher, clone and student on the same tasks; `models` says what each of them is."""

    evaluation: list[EvaluationRow]
    searches: list[Search]
    models: dict[str, ModelInfo]
