"""The options of a run: one frozen dataclass a section, `RunConfig` for the whole.

Each field says all about its option: default, help, bounds and command-line flag. The command line, the TOML file, the
checks, the command that reproduces a run and docs/options.md are made from it (`hub_tools.options`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, ClassVar, Literal, Self, cast, get_args

import tomli_w

from hub_tools.config_clone import CloneConfig
from hub_tools.config_evaluate import EvaluateConfig
from hub_tools.config_finetune import FinetuneConfig
from hub_tools.config_scale import ScaleConfig
from hub_tools.config_students import read_student
from hub_tools.core.errors import UsageError
from hub_tools.core.fields import MODEL, SOURCE, Facts, Section, option
from hub_tools.core.files import read_toml
from hub_tools.core.languages import check_language
from hub_tools.core.limits import read_limits, write_limits
from hub_tools.core.names import repo_name, short_name
from hub_tools.core.plain import to_plain, without_none
from hub_tools.core.run_record import STUDENTS

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]
Loss = Literal["cosine", "relational", "mse"]
Schedule = Literal["cosine", "linear"]
VectorType = Literal["float16", "float32"]
# What a run is published as; a Space comes on top.
RepoName = Literal["model", "tokenizer", "dataset"]
REPOS: tuple[RepoName, ...] = get_args(RepoName)
# Tokens of a training step on each device where the options say nothing.
STEP_TOKENS = {"cpu": 1024, "cuda": 8192, "mps": 8192}
# Texts of the targets and of English that are embedded on a CPU where the options say nothing; of others a tenth.
CPU_TEXTS = 4000
LIMITS = "LIMIT"
_SHARE: Facts = {"minimum": 0, "maximum": 1}


@dataclass(frozen=True, kw_only=True)
class CorpusConfig(Section):
    """Where the text comes from."""

    section: ClassVar[str] = "corpus"
    sources: tuple[str, ...] = option(
        (),
        "Text: sample, FILE, DIR, 'DIR/*.txt', DIR/{lang}.txt.gz, or a Hub dataset "
        "owner/name[@revision][:config[:split[:column]]].",
        flag="--corpus",
        metavar=SOURCE,
        unset="Wikipedia from the Hub",
    )
    parallel: tuple[str, ...] = option(
        (),
        "Aligned sentences, a file, a DIR or a Hub dataset owner/name[@revision][:config[:split]] (columns en and the "
        "target's code, source and target, or translation with both); the teacher reads the source.",
        metavar=SOURCE,
    )
    limit: str | int | None = option(
        None,
        "At most this many texts per language and parallel file; or by language, e.g. tr=100000,*=10000, where * is "
        "every other one.",
        metavar=LIMITS,
        unset="for languages other than English a tenth of what the target has, at least 1000",
    )

    @property
    def limits(self) -> dict[str, int]:
        """The limit by language, see `hub_tools.core.limits`."""
        return read_limits("--limit", self.limit, 1)

    def _check(self) -> None:
        object.__setattr__(self, "limit", write_limits(self.limits))


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig(Section):
    """How the student's vocabulary is made."""

    section: ClassVar[str] = "tokenizer"
    vocab_size: int | Literal["auto"] | None = option(
        None,
        "Tokens of the student; auto: the fewest that cost the target and English 1% more tokens than the teacher's "
        "tokenizer, each.",
        metavar="N_OR_AUTO",
        minimum=1,
        unset="auto for teachers of more than 100,000 tokens, else half of the teacher's",
    )
    use: str | None = option(
        None, "Use this tokenizer as it is instead of making one.", flag="--tokenizer", metavar=MODEL
    )
    keep: int | None = option(None, "Teacher tokens to keep.", minimum=1, unset="what --learn leaves")
    learn: int | None = option(
        None,
        "Tokens to learn.",
        minimum=0,
        unset="as many as keep held-out vectors as close as plain trimming does",
    )
    keep_normalizer: bool = option(False, "Keep the teacher's normalizer even if it loses letters of the language.")
    keep_characters: bool = option(False, "Keep all characters of the teacher, also those that the text does not have.")

    def _check(self) -> None:
        size, keep, learn = self.vocab_size, self.keep, self.learn
        unused = self.changed_options("vocab_size", "keep", "learn", "keep_normalizer", "keep_characters")
        if self.use is not None and unused:
            raise UsageError(f"--tokenizer is used as it is: {unused[0]} has no effect. Leave it out.")
        if size is not None and keep is not None and learn is not None and keep + learn != size:
            raise UsageError(
                f"--keep {keep} and --learn {learn} make {keep + learn} tokens, but --vocab-size is {size}. "
                "Leave one of the three out."
            )


@dataclass(frozen=True, kw_only=True)
class EmbedConfig(Section):
    """Which texts the teacher embeds, or which vectors are used instead."""

    section: ClassVar[str] = "embed"
    distill_limit: str | int | None = option(
        None,
        "Monolingual texts per language to embed and train on, a number or by language as in --limit; all pairs are "
        "used, or as many long ones as texts of the target if the teacher knows both languages.",
        metavar=LIMITS,
        unset="all; on CPUs 4000 of the target and of English and 100 of any other",
    )
    query_prompt: str | None = option(
        None,
        "Text before queries, for a teacher whose files name none; for e5 'query: '. The student keeps it.",
        unset="what the teacher's files say",
    )
    document_prompt: str | None = option(
        None, "Text before documents; for e5 'passage: '.", unset="what the teacher's files say"
    )
    query_share: float = option(0.4, "Share of the texts that get the teacher's query prompt, if it has one.", **_SHARE)
    document_share: float = option(0.4, "Share of them that get its document prompt.", **_SHARE)
    pooling: Literal["text", "teacher"] = option(
        "text",
        "What to learn: the mean of a text's own tokens, rare ones weighted more, if the teacher knows the "
        "language (text); or always the teacher's own vector (teacher).",
    )
    dtype: VectorType = option("float16", "Type of the stored vectors.", flag="--embedding-dtype")
    use: str | None = option(
        None, "Use the vectors of this dataset instead of computing the teacher's.", flag="--embeddings", metavar=MODEL
    )
    text_column: str = option("text", "Its column with the texts.", metavar="NAME")
    embedding_column: str = option("embedding", "Its column with the vectors.", metavar="NAME")

    @property
    def prompts(self) -> dict[str, str]:
        """The prompts given here, by the names that sentence-transformers knows them by."""
        prompts = {"query": self.query_prompt, "document": self.document_prompt}
        return {name: prompt for name, prompt in prompts.items() if prompt is not None}

    @property
    def limits(self) -> dict[str, int]:
        """The limit by language, see `hub_tools.core.limits`."""
        return read_limits("--distill-limit", self.distill_limit, 0)

    def _check(self) -> None:
        object.__setattr__(self, "distill_limit", write_limits(self.limits))
        columns = self.changed_options("text_column", "embedding_column")
        if self.use is None and columns:
            raise UsageError(
                f"{columns[0]} names a column of the dataset of --embeddings. Give that too, or leave it out."
            )
        if self.query_share + self.document_share > 1:
            raise UsageError(
                f"--query-share {self.query_share:g} and --document-share {self.document_share:g} are more than all "
                "texts; expected two shares that are 1 at most together."
            )
        unused = self.changed_options("distill_limit", "query_share", "document_share")
        if self.use is not None and unused:
            raise UsageError(f"--embeddings uses the whole dataset: {unused[0]} has no effect. Leave it out.")


@dataclass(frozen=True, kw_only=True)
class DistillConfig(Section):
    """How the student is trained."""

    section: ClassVar[str] = "distill"
    steps: int | None = option(None, "Training steps.", minimum=1, unset="set by --epochs")
    epochs: float | None = option(
        None,
        "Passes through the data, where --steps is not given.",
        above=0,
        unset="3, and at most 300 steps for a clone that is near its goal",
    )
    # Steps of 8,192 tokens are only a fifth faster on a CPU, and the student learns less from the same text.
    batch_tokens: int | None = option(
        None, "Tokens of a step, with padding.", minimum=1, unset=f"{STEP_TOKENS['cuda']}, on CPUs {STEP_TOKENS['cpu']}"
    )
    learning_rate: float | None = option(
        None,
        "Peak learning rate of the token embeddings.",
        above=0,
        unset="1e-3 at a hidden size of 384, less in wider models, short trainings and clones near the teacher",
    )
    # The other weights know what to do already.
    backbone_lr_scale: float = option(0.4, "Learning rate of all other weights, as a share of that.", above=0)
    loss: Loss = option(
        "cosine",
        "1 - cosine to the teacher's vector; relational also compares how a batch is arranged; mse is the mean "
        "squared difference.",
    )
    # It helped similarity tasks with 100,000 pairs and cost held-out cosine; with little text it does harm.
    similarity_weight: float = option(200.0, "Weight of the second part of the relational loss.", flag=None, minimum=0)
    matryoshka: tuple[int, ...] = option(
        (),
        "Train leading parts of the vector too, e.g. 384,256,128: the loss is the mean over them and the whole.",
        metavar="DIMS",
        minimum=1,
        commas=True,
    )
    embedding_only_steps: int = option(0, "Steps at the start in which only the token embeddings learn.", minimum=0)
    embedding_lr: float | None = option(
        None, "Peak learning rate of the token embeddings in these steps.", above=0, unset="that of --learning-rate"
    )
    language_sampling_alpha: float = option(
        1.0, "A language of n monolingual texts weighs as n ** alpha: 1 as it is, 0 all languages alike.", **_SHARE
    )
    # A small file of the domain that the student is for should not drown in a large one.
    parallel_sampling_alpha: float = option(0.5, "The same for parallel files of n pairs.", **_SHARE)
    # The student begins with nearly all that the teacher knows of the source language.
    source_fraction: float = option(
        0.5, "Share of the pairs whose source side is trained too, drawn again in each epoch.", **_SHARE
    )
    # Wortsman et al. 2022, "Robust fine-tuning of zero-shot models". It keeps what the teacher knew: docs/results.md.
    weight_interpolation: float | None = option(
        None,
        "Share of the clone's weights in the student's after training (WiSE-FT), token embeddings left out.",
        unset="0.5; 0 if the clone was near its goal before or has fewer layers",
        minimum=0,
        maximum=1,
    )
    warmup_ratio: float = option(0.05, "Share of the steps with a rising learning rate.", minimum=0, below=1)
    schedule: Schedule = option("cosine", "How the learning rate falls to 0 after that.")
    max_grad_norm: float = option(1.0, "Largest gradient norm; larger ones are scaled down.", flag=None, above=0)
    eval_steps: int = option(50, "Steps between measurements on held-out text, each with a checkpoint.", minimum=1)
    micro_batch_tokens: int | None = option(
        None,
        "Tokens in memory at once; a larger step is computed in parts, with the same result.",
        minimum=1,
        unset="a whole step, less where memory does not suffice",
        neutral=True,
    )
    # The targets are exact: dropout only blurs them.
    dropout: bool = option(False, "Train with the dropout of the teacher's configuration.")
    gradient_checkpointing: bool = option(
        False, "Recompute layers in the backward pass instead of keeping them: less memory, more time.", neutral=True
    )
    compile: bool = option(False, "Compile the model with torch.compile; needs a C++ compiler.", neutral=True)
    tensorboard: bool = option(False, "Write student/tensorboard; needs the package tensorboard.", neutral=True)

    def _check(self) -> None:
        if self.steps is not None and self.embedding_only_steps >= self.steps:
            raise UsageError(
                f"--embedding-only-steps {self.embedding_only_steps} leaves none of the {self.steps} steps for all "
                "other weights."
            )


@dataclass(frozen=True, kw_only=True)
class PublishConfig(Section):
    """Where the results go on the Hub."""

    section: ClassVar[str] = "publish"
    namespace: str | None = option(
        None,
        "Publish on the Hub as this user or organization.",
        flag="--push-to-hub",
        metavar="NAMESPACE",
        unset="nothing is published",
    )
    private: bool = option(False, "Publish in private repos.")
    name: str | None = option(
        None, "Name of the model repo, and of the others after it.", metavar="NAME", unset="TEACHER-LANG"
    )
    only: tuple[RepoName, ...] = option(
        (), "Publish this alone, with a token that may be scoped to it.", unset="all three, and a collection of them"
    )
    space: bool = option(False, "Publish a Space that shows the model, too.")
    tag: str | None = option(None, "Tag the published state of each repo, e.g. v1.0.", metavar="TAG")


@dataclass(frozen=True, kw_only=True)
class RunConfig(Section):
    """The whole job."""

    teacher: str = field(
        metadata={
            "help": "Sentence-embedding model: Hub id, id@revision, folder, or the bundled one.",
            "metavar": MODEL,
        }
    )
    lang: tuple[str, ...] = field(
        metadata={
            "help": "Language of the student, e.g. tr; of several, e.g. tr,en, all weigh alike.",
            "metavar": "CODES",
            "commas": True,
        }
    )
    output: Path = option(cast("Path", None), "Run folder.", metavar="DIR", unset="runs/TEACHER-LANG")
    student: tuple[str, ...] = option(
        (),
        "One of several students of the same vectors, each with a run folder in students/: its own layers, vocab, "
        "epochs or static, e.g. layers=6,vocab=16384 or static.",
        metavar="KEY=VALUE,...",
    )
    device: Device = option("auto", "Where the models run.")
    precision: Precision = option("auto", "Arithmetic of teacher and training; weights are kept in fp32.")
    seed: int = option(42, "Seed of every shuffle and split.", minimum=0)
    trust_remote_code: bool = option(False, "Run Python code that comes with the teacher.")
    allow_pickle: bool = option(False, "Load teacher weights that are not safetensors.")
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    clone: CloneConfig = field(default_factory=CloneConfig)
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    publish: PublishConfig = field(default_factory=PublishConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)

    @property
    def target(self) -> str:
        """The first language the student is made for: runs and repos are named after it, pairs are in it."""
        return self.lang[0]

    @property
    def targets(self) -> tuple[str, ...]:
        """All languages the student is made for."""
        return tuple(dict.fromkeys(self.lang))

    @property
    def students(self) -> dict[str, RunConfig]:
        """The configuration of each of several students, by its name."""
        students: dict[str, RunConfig] = {}
        for spec in self.student:
            name, asked = read_student(spec)
            if name in students:
                raise UsageError(f"--student {spec} is given twice.")
            try:
                sections = {section: replace(getattr(self, section), **values) for section, values in asked.items()}
            except UsageError as error:
                raise UsageError(f"--student {spec}: {error}") from error
            repo = f"{self.publish.name or repo_name(self.teacher, self.target)}-{name}"
            publish = replace(self.publish, name=repo)
            students[name] = replace(
                self, student=(), output=self.output / STUDENTS / name, publish=publish, **sections
            )
        return students

    def __post_init__(self) -> None:
        """Check the values; the defaults of some follow from others."""
        if str(self.precision) == "fp16":
            raise UsageError("--precision fp16: Gemma3 overflows in fp16 by construction. Use bf16 or fp32, or auto.")
        super().__post_init__()

    def _check(self) -> None:
        for code in self.lang:
            check_language(code)
        if PurePath(self.teacher).name in ("", ".."):  # runs and repos are named after it
            object.__setattr__(self, "teacher", str(Path(self.teacher).resolve()))
        if self.output is None:
            object.__setattr__(self, "output", Path("runs") / f"{short_name(self.teacher)}-{self.target}")
        if self.student and (unused := self.clone.changed_options("layers", "static")):
            raise UsageError(f"{unused[0]} is about one student. Write it into each --student that it is for.")
        if self.student and self.publish.namespace is not None:
            raise UsageError(
                "--push-to-hub publishes one student, and --student makes several. Leave it out, and publish what you "
                f"choose: hub-distill publish {self.output / STUDENTS}/NAME --push-to-hub {self.publish.namespace}"
            )
        _ = self.students  # what one of them cannot be is refused

    @classmethod
    def from_toml(cls, path: Path, changes: Mapping[str, Any] | None = None) -> Self:
        """Read a configuration file; `changes`, nested plain values, win over those of the file.

        Raises:
            UsageError: the file is missing or not TOML, or as `from_dict`.
        """
        values = read_toml(path)
        for key, change in (changes or {}).items():
            both = isinstance(change, Mapping) and isinstance(values.get(key), dict)
            values[key] = {**values[key], **change} if both else change
        return cls.from_dict(values)

    def to_toml(self) -> str:
        """Return the configuration as the text of a file that `from_toml` reads."""
        return tomli_w.dumps(without_none(to_plain(self)))
