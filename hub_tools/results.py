"""What each stage measured, typed: the sections of report.json; a field is None where nothing was measured."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

# Measures of a tokenizer on text, by name: tokens_per_word, characters_per_token, ... Counts stay whole numbers.
Figures = dict[str, int | float]
# Share of a text's characters that a tokenizer may read as unknown before its count of tokens says nothing. Of 57
# languages all-MiniLM-L6-v2 reads less than 1% as unknown or more than 4%, and at 2% a count is about 1% too small.
MOST_UNKNOWN = 0.02


def is_read(figures: Figures) -> bool:
    """Whether a tokenizer reads the text that it was measured on, so that a count of its tokens means something."""
    return figures["unknown_text"] <= MOST_UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """Texts that were dropped because they are in the data to measure on, or nearly (`corpus.contamination`)."""

    exact: int = 0
    near: int = 0


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
    dropped_contaminated: int = 0
    contamination: dict[str, Contamination] = field(default_factory=dict)  # the same, by the data to measure on


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
    kept_out: list[str] = field(default_factory=list)  # data to measure on, whose texts were looked for and dropped


@dataclass(frozen=True, kw_only=True)
class VocabularySize:
    """A size that the student's vocabulary could have, with the teacher's own tokens alone."""

    vocab_size: int
    tokens_per_word: dict[str, float]  # of target and English, on the text that the vocabulary is made from
    params: int | None = None  # of the whole student; None where the teacher has no weights
    weight_bytes: int | None = None


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
    seen: list[str] | None = None  # languages measured on text that tokens were learned from; None for a ready one
    parity: dict[str, float] | None = None  # tokens for one of the source side's, on held-out pairs
    unused: dict[str, int] | None = None  # ids that none of the measured texts uses
    new_unknowns: int
    round_trip_failures: int
    revision: str | None = None  # commit of a ready tokenizer of the Hub
    sizes: list[VocabularySize] = field(default_factory=list)  # that `--vocab-size auto` chose from
    # Those with fewer learned tokens, by the name of their folder; `trim` has none.
    others: dict[str, TokenizerResult] = field(default_factory=dict)

    @property
    def unread(self) -> set[tuple[str, str]]:
        """Languages, each with a tokenizer that reads so much of it as unknown that its count means nothing."""
        return {
            (lang, name) for lang, row in self.measures.items() for name, found in row.items() if not is_read(found)
        }


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What vectors have in common with those that they should be, over some texts; from -1 or 0 to 1."""

    cosine: float  # mean cosine of a text's two vectors; 0 where they are of different sizes
    ranks: float  # Spearman's correlation of the similarities of all pairs of texts
    neighbours: float  # share of a text's ten nearest texts that are found again
    spread: float  # standard deviation of the student's similarities by that of the teacher's; near 0 for a collapse


@dataclass(frozen=True, kw_only=True)
class Split:
    """A number of learned tokens, and how near a clone with them is to its goal before any training."""

    tokenizer: str  # as in `CloneResult`
    learned: int
    tokens_per_word: dict[str, float]  # target and English
    agreement: Agreement


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
    tokenizer: str = ""  # folder of the tokenizer that was chosen, in that of the stage; none of `others` if empty
    splits: list[Split] = field(default_factory=list)  # that it was chosen from; none where there was no choice
    trim: CloneResult | None = None  # the plain trim, where this one is another
    layers: list[int] = field(default_factory=list)  # of the teacher's that it has, counted from 0; all if empty
    is_static: bool = False  # whether it has rows alone, which began as the teacher's vectors of tokens
    influence: list[float] = field(default_factory=list)  # of each of the teacher's, where they were chosen by it
    sizes: list[VocabularySize] = field(default_factory=list)  # those of the tokenizer, with the layers of this clone


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
    # Vector of a pair's sides: its `source`'s, or each its `own`; None if not computed here.
    pair_goal: str | None = None
    text_pooling: bool = False  # whether vectors are the mean of the text's own tokens, rare ones more
    teacher_bitext_accuracy: float | None = None  # share of held-out translations that the teacher finds
    targets: list[str] = field(default_factory=list)  # languages that a student of the vectors is for
    left_out: list[str] = field(default_factory=list)  # languages that the teacher does not know: without text alone
    taken_from: dict[str, str | None] | None = None  # name and revision of an imported dataset
    contamination: dict[str, Contamination] = field(default_factory=dict)  # of an imported dataset


@dataclass(frozen=True, kw_only=True)
class DistillResult:
    """The training; what is measured on held-out texts is None where there are none."""

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
    agreement: Agreement | None = None  # of the trained student with the vectors that it learned
    trim_agreement: Agreement | None = None  # of the plain trim, where there is one
    kept_trim: bool = False  # whether that was nearer, and is the student
    weight_interpolation: float = 0.0  # share of the clone's weights in the student's


@dataclass(frozen=True, kw_only=True)
class FinetuneData:
    """Data that the student was trained on with labels, or with pseudo-labels; counts are of examples."""

    skill: str  # nli, retrieval or sts
    name: str
    train: int
    heldout: int
    has_labels: bool = True  # false where the queries were made from the passages
    license: str | None = None  # of a dataset of the Hub
    revision: str | None = None
    dropped_contaminated: int = 0
    contamination: dict[str, Contamination] = field(default_factory=dict)

    @property
    def dataset(self) -> str | None:
        """Its id, where it is a dataset of the Hub."""
        return re.split("[: ]", self.name)[0] if self.revision else None


@dataclass(frozen=True, kw_only=True)
class FinetuneStep:
    """The training for one skill, and what became of it; measures are those of held-out data, x100, by name."""

    skill: str
    steps: int
    tokens_per_second: float
    taken: bool
    share: float  # of what it changed in the weights, the best of those that were tried
    measures: dict[str, float]  # of the model with that share
    lowered: dict[str, float]  # those that it lowers by more than is allowed, and by how much


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """What the student was trained for after the distillation."""

    device: str
    precision: str
    data: list[FinetuneData]
    skills: list[FinetuneStep]
    before: dict[str, float]  # measures of the distilled student
    after: dict[str, float]
    anchors: int  # texts whose vectors were kept
    minutes: float

    @property
    def taken(self) -> list[str]:
        """The skills whose training is in the model."""
        return [step.skill for step in self.skills if step.taken]

    @property
    def supervised(self) -> list[str]:
        """Those of them that labels were used for."""
        labelled = {data.skill for data in self.data if data.has_labels}
        return [skill for skill in self.taken if skill in labelled]


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
    """A number, and bounds that hold it with a probability of 95%; None where nothing was drawn anew."""

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
    prompts: dict[str, dict[str, str]] = field(default_factory=dict)  # model -> side of the data -> what is before it
    supervised: bool = False  # whether the student was trained with labels of this task
    reason: str | None = None  # why a value is None, where the task can say it

    def value(self, model: str) -> float | None:
        """Return what a model reaches; None where that is not defined, or it was not measured."""
        figure = self.models.get(model)
        return None if figure is None else figure.value


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a model encodes texts; tokens are those it reads, prompt and special tokens included."""

    texts: int
    texts_per_second: float
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a model costs, on the same texts as the others."""

    embedding_params: int  # the token embeddings
    other_params: int
    weight_bytes: int  # on disk
    sentences: Speed
    paragraphs: Speed
    peak_memory: int  # bytes, of weights and what is computed from them, while paragraphs are encoded
    tokens_per_word: float | None  # per character where words are not spaced; None where it does not read the text

    @property
    def params(self) -> int:
        """All parameters."""
        return self.embedding_params + self.other_params


@dataclass(frozen=True, kw_only=True)
class SmallerVectors:
    """What a model reaches at a task with its vectors in several forms: float32, shortened, int8, binary."""

    model: str
    task: str
    split: str
    metric: str
    n: int
    bytes: dict[str, int]  # form -> bytes of a vector
    figures: dict[str, Figure | None]  # form -> the figure, with its difference to float32


@dataclass(frozen=True, kw_only=True)
class Search:
    """A question, and the passage that each model finds first."""

    query: str
    teacher: str
    student: str
    teacher_place: int | None = None  # of the right passage among all that it finds, from 1
    student_place: int | None = None


@dataclass(frozen=True, kw_only=True)
class Example:
    """A text, and others of which the first says the same."""

    query: str
    documents: list[str]
    similarities: dict[str, list[float]]  # teacher and student -> cosine of the text to each of the others


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """Teacher, clone and student on the same tasks; `models` says what each of them is."""

    evaluation: list[EvaluationRow]
    searches: list[Search]
    models: dict[str, ModelInfo]
    hardware: str  # device and arithmetic of all models
    costs: dict[str, Costs] = field(default_factory=dict)  # by model; nothing where there is no text
    smaller: list[SmallerVectors] = field(default_factory=list)
    example: Example | None = None  # where there is bundled text
