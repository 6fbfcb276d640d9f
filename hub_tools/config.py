"""The options of a run: one frozen dataclass a stage, `RunConfig` for the whole, and how files become one."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.languages import check_language

Device = Literal["auto", "cpu", "cuda", "mps"]
# fp16 is understood only to be refused with the reason.
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Loss = Literal["cosine", "relational", "mse"]
Schedule = Literal["cosine", "linear"]
# What a run is published as; a Space comes on top.
REPOS = ("model", "tokenizer", "dataset")
# Tokens of a training step on each device where the options say nothing.
STEP_TOKENS = {"cpu": 1024, "cuda": 8192, "mps": 8192}
Init = Literal["align", "mean", "position", "length", "frequency", "focus", "token_distillation"]
VectorType = Literal["float16", "float32"]


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Where the text comes from.

    Attributes:
        sources: text sources, see `hub_tools.corpus.build`; empty means Wikipedia from the Hub.
        parallel: files of aligned sentences; the teacher reads the source side.
        limit: at most this many texts per language and per parallel file.
    """

    sources: tuple[str, ...] = ()
    parallel: tuple[str, ...] = ()
    limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """How the student's vocabulary is made.

    Attributes:
        vocab_size: tokens in the student's vocabulary; None means half of the teacher's.
        use: a tokenizer (folder or Hub id) to take as it is instead of making one.
        keep: how many of the teacher's tokens to keep; None leaves the balance to the text.
        learn: how many tokens to learn; None leaves it to the text.
        keep_normalizer: take the teacher's normalizer though it loses letters of the language.
    """

    vocab_size: int | None = None
    use: str | None = None
    keep: int | None = None
    learn: int | None = None
    keep_normalizer: bool = False


@dataclass(frozen=True, kw_only=True)
class CloneConfig:
    """How the new embedding rows start.

    Attributes:
        init: `align` mixes means of the teacher's rows of a token's pieces with rows found by word alignment; where
            there is no parallel text it is `frequency`. That and the others: `hub_tools.cloning.init.init_embeddings`.
    """

    init: Init = "align"


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """Which texts the teacher embeds, or which vectors are taken instead.

    Attributes:
        distill_limit: at most this many monolingual texts per language are embedded and trained on;
            None means all of the corpus. Parallel pairs are always taken.
        query_prompt: text before queries, for a teacher whose files name no prompts ("query: " of e5); the student
            keeps it. None leaves what the teacher has.
        document_prompt: likewise, before documents ("passage: " of e5).
        query_share: where the teacher has prompts, the share of the target language's short texts (no longer than
            the median) that are embedded as queries; the others are embedded as `encode` does.
        document_share: likewise, the share of its long texts that are embedded as documents.
        dtype: of the stored vectors.
        use: a dataset with vectors (folder or Hub id) to take instead of computing them.
        text_column: its column with the texts.
        embedding_column: its column with the vectors.
    """

    distill_limit: int | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    query_share: float = 0.5
    document_share: float = 0.5
    dtype: VectorType = "float16"
    use: str | None = None
    text_column: str = "text"
    embedding_column: str = "embedding"

    @property
    def prompts(self) -> dict[str, str]:
        """The prompts given here, by the names that sentence-transformers knows them by."""
        given = {"query": self.query_prompt, "document": self.document_prompt}
        return {name: prompt for name, prompt in given.items() if prompt is not None}


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """How the student is trained.

    Attributes:
        steps: optimizer steps; None means `epochs` times through the data.
        epochs: passes through the data when `steps` is None.
        batch_tokens: tokens of a step, padding included; None means 8192, and 1024 on a CPU, where that is a fifth
            slower and the student learns more from the same text.
        learning_rate: peak learning rate of the token embeddings; None means 1e-3 for a hidden size of 384, and less
            for wider models, in short trainings and for clones near the teacher (`trainer.default_rate`).
        backbone_lr_scale: learning rate of all other weights, as a share of that. They know what to do already.
        loss: 1 - cosine to the teacher's vector; `relational`, that and how differently the batch is arranged; or
            `mse`, the mean squared difference.
        similarity_weight: of the second part of the relational loss. It helped similarity tasks with 100,000
            pairs and cost held-out cosine; with little text it does harm (docs/results.md).
        matryoshka: lengths of leading parts of the vector; the loss is the mean over them and the whole.
        embedding_only_steps: in so many steps at the start only the token embeddings learn.
        embedding_lr: their peak learning rate in these steps; None means the same as afterwards.
        language_sampling_alpha: a language of n monolingual texts weighs as n ** language_sampling_alpha.
        parallel_sampling_alpha: a parallel file of n pairs weighs as n ** alpha: 1 takes files as they are, 0 all
            alike. A small file from the field that the student is for should not drown in a large one.
        source_fraction: share of the pairs whose source side is trained too, anew each epoch. The student begins with
            nearly all that the teacher knows of it.
        weight_interpolation: share of the clone's weights in the student's afterwards, token embeddings left out
            (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"). It keeps what the teacher
            knew (figures: docs/results.md).
        warmup_ratio: share of the steps with a rising learning rate.
        schedule: how the learning rate falls to 0 after that.
        max_grad_norm: largest gradient norm.
        micro_batch_tokens: tokens in memory at once; a step of more is computed in parts. None means all of a step.
        dropout: train with the dropout that the teacher's configuration names. The goal is exact: it only blurs it.
        gradient_checkpointing: compute layers again in the backward pass instead of keeping what they computed.
        compile: let torch.compile make kernels for the model; needs a C++ compiler.
        tensorboard: write the course of the training into student/tensorboard.
        eval_steps: steps between two looks at the held-out cosine, each followed by a checkpoint.
    """

    steps: int | None = None
    epochs: float = 3.0
    batch_tokens: int | None = None
    learning_rate: float | None = None
    backbone_lr_scale: float = 0.4
    loss: Loss = "cosine"
    similarity_weight: float = 200.0
    matryoshka: tuple[int, ...] = ()
    embedding_only_steps: int = 0
    embedding_lr: float | None = None
    language_sampling_alpha: float = 1.0
    parallel_sampling_alpha: float = 0.5
    source_fraction: float = 0.5
    weight_interpolation: float = 0.5
    warmup_ratio: float = 0.05
    schedule: Schedule = "cosine"
    max_grad_norm: float = 1.0
    eval_steps: int = 50
    micro_batch_tokens: int | None = field(default=None, metadata={"neutral": True})
    dropout: bool = False
    gradient_checkpointing: bool = field(default=False, metadata={"neutral": True})
    compile: bool = field(default=False, metadata={"neutral": True})
    tensorboard: bool = field(default=False, metadata={"neutral": True})


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What teacher, clone and student are measured on besides held-out text.

    Attributes:
        sts: TSV files with columns sentence1, sentence2, score.
    """

    sts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """Where the results go on the Hub.

    Attributes:
        namespace: user or organization to push to; None means that nothing is pushed.
        private: make the repos private.
        name: name of the model repo, from which the others are made; None means TEACHER-LANG.
        only: which of model, tokenizer and dataset; empty means all three, and a collection of them.
        space: publish a Space that shows the model, too.
        tag: name for the published state of each repo, such as v1.0.
    """

    namespace: str | None = None
    private: bool = False
    name: str | None = None
    only: tuple[str, ...] = ()
    space: bool = False
    tag: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The whole job.

    Attributes:
        teacher: Hub id (`org/name` or `org/name@revision`) or folder of a sentence-transformers model.
        lang: language codes, the target first.
        output: the run folder.
        device: where the models run.
        precision: arithmetic of teacher and training; weights are always kept in fp32.
        seed: of every shuffle and split.
        trust_remote_code: run Python code that comes with the teacher.
        allow_pickle: load teacher weights that are no safetensors.
    """

    teacher: str
    lang: tuple[str, ...]
    output: Path
    device: Device = "auto"
    precision: Precision = "auto"
    seed: int = 42
    trust_remote_code: bool = False
    allow_pickle: bool = False
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    clone: CloneConfig = field(default_factory=CloneConfig)
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    publish: PublishConfig = field(default_factory=PublishConfig)

    @property
    def target(self) -> str:
        """The language the student is made for."""
        return self.lang[0]


SECTIONS: dict[str, type] = {
    "corpus": CorpusConfig,
    "tokenizer": TokenizerConfig,
    "clone": CloneConfig,
    "embed": EmbedConfig,
    "distill": DistillConfig,
    "evaluate": EvaluateConfig,
    "publish": PublishConfig,
}


def short_name(teacher: str) -> str:
    """What folders and repos of ours are named after: the last part of a Hub id, less its revision, or of a folder."""
    hub_id = re.fullmatch(r"([\w.-]+/)?([\w.-]+)(@.+)?", teacher)
    return hub_id[2] if hub_id else PurePath(teacher).name


def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration file and check its keys.

    Raises:
        UsageError: the file is missing, is no TOML or has an unknown key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"No configuration file {path}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no valid TOML: {error}") from error
    except OSError as error:
        raise UsageError(f"Could not read the configuration file {path}: {error.strerror}.") from error
    _check_keys(values, RunConfig, str(path))
    for name, section in SECTIONS.items():
        if not isinstance(values.get(name, {}), dict):
            raise UsageError(f"{name} in {path} is a value; expected a section [{name}].")
        _check_keys(values.get(name, {}), section, f"{path} [{name}]")
    return values


def _check_keys(values: dict[str, Any], kind: type, where: str) -> None:
    known = [f.name for f in dataclasses.fields(kind)]
    for key in values:
        if key not in known:
            raise UsageError(f"Unknown key {key!r} in {where}; expected one of: {', '.join(known)}.")


def build(values: dict[str, Any]) -> RunConfig:
    """Make the configuration from nested plain values.

    Args:
        values: the keys of `RunConfig`; a section is a dictionary of its own.

    Raises:
        UsageError: a value is missing, has the wrong type or is out of range.
    """
    for name in ("teacher", "lang", "output"):
        if not values.get(name):
            raise UsageError(f"Missing --{name}" + (" (a Hub id or a folder)." if name == "teacher" else "."))
    if not _fits(values["lang"], str | tuple[str, ...]) or not isinstance(values["output"], str | Path):
        raise UsageError("lang and output are text (lang may be a list of codes).")
    sections = {name: _section(kind, values.get(name, {}), f"{name}.") for name, kind in SECTIONS.items()}
    lang = values["lang"]
    codes = tuple(code.strip() for code in (lang.split(",") if isinstance(lang, str) else lang))
    config: RunConfig = _section(RunConfig, {**values, **sections, "lang": codes, "output": Path(values["output"])}, "")
    _check_ranges(config)
    return config


def _section(kind: type, values: dict[str, Any], prefix: str) -> Any:
    hints = get_type_hints(kind)
    for key, value in values.items():
        if not _fits(value, hints[key]):
            raise UsageError(f"{prefix}{key} = {value!r} has the wrong type; expected {_describe(hints[key])}.")
    return kind(**{k: _coerce(v, hints[k]) for k, v in values.items()})


def _fits(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in args
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(v, args[0]) for v in value)
    if args:  # a union with None
        return any(_fits(value, arg) for arg in args)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _coerce(value: Any, hint: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return float(value) if hint is float else value


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(
        hint, str(hint).replace("typing.", "")
    )


def _check_ranges(config: RunConfig) -> None:
    if config.precision == "fp16":
        raise UsageError(
            "--precision fp16: Gemma3 overflows in fp16 by construction, and training in pure fp16 ends in NaN. "
            "Use bf16 or fp32, or auto, which takes what is fast here."
        )
    for code in config.lang:
        check_language(code)
    if config.seed < 0:
        raise UsageError(f"--seed = {config.seed}; expected 0 or more.")
    positive = {
        "--limit": config.corpus.limit,
        "--vocab-size": config.tokenizer.vocab_size,
        "--keep": config.tokenizer.keep,
        "--learn": config.tokenizer.learn,
        "--distill-limit": config.embed.distill_limit,
        "--steps": config.distill.steps,
        "--epochs": config.distill.epochs,
        "--batch-tokens": config.distill.batch_tokens,
        "--learning-rate": config.distill.learning_rate,
        "distill.backbone_lr_scale": config.distill.backbone_lr_scale,
        "--micro-batch-tokens": config.distill.micro_batch_tokens,
        "--embedding-lr": config.distill.embedding_lr,
        "--matryoshka": min(config.distill.matryoshka, default=None),
        "distill.max_grad_norm": config.distill.max_grad_norm,
        "distill.eval_steps": config.distill.eval_steps,
    }
    for name, value in positive.items():
        if value is not None and not (0 if name in ("--distill-limit", "--learn") else 1e-12) <= value < math.inf:
            raise UsageError(f"{name} = {value} is too small or not finite; expected a number above 0.")
    for name, least in {
        "--embedding-only-steps": config.distill.embedding_only_steps,
        "distill.similarity_weight": config.distill.similarity_weight,
    }.items():
        if not 0 <= least < math.inf:
            raise UsageError(f"{name} = {least}; expected 0 or more.")
    size, keep, learn = config.tokenizer.vocab_size, config.tokenizer.keep, config.tokenizer.learn
    if size is not None and keep is not None and learn is not None and keep + learn != size:
        raise UsageError(
            f"--keep {keep} and --learn {learn} make {keep + learn} tokens, not the {size} of --vocab-size. "
            "Leave one of the three out."
        )
    shares = {
        "--query-share": config.embed.query_share,
        "--document-share": config.embed.document_share,
        "distill.parallel_sampling_alpha": config.distill.parallel_sampling_alpha,
        "distill.language_sampling_alpha": config.distill.language_sampling_alpha,
        "distill.source_fraction": config.distill.source_fraction,
        "distill.weight_interpolation": config.distill.weight_interpolation,
    }
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise UsageError(f"{name} = {share}; expected a number from 0 to 1.")
    if not 0 <= config.distill.warmup_ratio < 1:
        raise UsageError(
            f"distill.warmup_ratio = {config.distill.warmup_ratio}; expected a share of the steps from 0 to below 1."
        )
    _check_ready_vectors(config.embed)
    _check_places(config)


def _check_places(config: RunConfig) -> None:
    for what in config.publish.only:
        if what not in REPOS:
            raise UsageError(f"publish.only names {what!r}; expected some of {', '.join(REPOS)}.")
    if config.output.exists() and not config.output.is_dir():
        raise UserError(f"--output {config.output} is a file; expected a folder to write the run into.")


def _check_ready_vectors(config: EmbedConfig) -> None:
    """Refuse options that would say nothing."""
    computing, taking = ("distill_limit", "query_share", "document_share"), ("text_column", "embedding_column")
    idle = computing if config.use else taking
    changed = [name for name in idle if getattr(config, name) != getattr(EmbedConfig(), name)]
    given = ["--" + name.replace("_", "-") for name in changed]
    if given and config.use:
        raise UsageError(f"--embeddings takes all of the dataset as it is: {given[0]} has no effect. Leave it out.")
    if given:
        raise UsageError(f"{given[0]} names a column of the dataset of --embeddings. Give that too, or leave it out.")


def config_values(config: RunConfig) -> dict[str, Any]:
    """The configuration as plain nested values."""
    return {**dataclasses.asdict(config), "output": str(config.output)}


def to_toml(config: RunConfig) -> str:
    """The configuration as a TOML file that `read_toml` accepts."""
    values = config_values(config)
    lines = [f"{k} = {_toml_value(v)}" for k, v in values.items() if k not in SECTIONS]
    for name in SECTIONS:
        lines += ["", f"[{name}]", *toml_lines(values[name])]
    return "\n".join(lines) + "\n"


def toml_lines(values: dict[str, Any]) -> list[str]:
    """Plain values as lines of a TOML section; None is left out."""
    return [f"{k} = {_toml_value(v)}" for k, v in values.items() if v is not None]


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in escaped) + '"'
