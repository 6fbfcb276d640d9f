"""The public functions: each takes objects or ids, returns objects, and leaves logging and global state alone.

A model is a SentenceTransformer, its folder or its Hub id; a tokenizer is a fast tokenizer of transformers, what
`adapt_tokenizer` returned, a folder or a Hub id. Texts are lists by language.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hub_tools.config import DistillConfig, EmbedConfig, Init, RunConfig, TokenizerConfig
from hub_tools.core.errors import UsageError
from hub_tools.core.plain import to_plain

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hub_tools.corpus.build import Corpus
    from hub_tools.models.teacher import Teacher
    from hub_tools.reporting.report import Report
    from hub_tools.results import DistillResult
    from hub_tools.tokenization.adapt import AdaptedTokenizer
    from hub_tools.vectors.dataset import EmbeddingDataset

    Model = str | Path | SentenceTransformer
    Texts = Mapping[str, Sequence[str]]
    Files = str | Sequence[str]


@dataclass(frozen=True)
class Student:
    """A finished run: its folder, and the report of what was done and measured."""

    folder: Path
    report: Report

    @cached_property
    def model(self) -> SentenceTransformer:
        """The student, loaded when it is first used."""
        return _load(self.folder / "student")

    def push_to_hub(self, repo_id: str, *, private: bool = False) -> list[str]:
        """Publish model, tokenizer and vectors, each with its card; what was private once stays private.

        Args:
            repo_id: of the model, `namespace/name`; the others are named after it.
            private: whether the repos are private.

        Returns:
            The addresses.

        Raises:
            UserError: not logged in, no right to write, or the Hub refused.
        """
        from hub_tools.hub.publish import publish

        namespace, slash, name = repo_id.partition("/")
        if not slash:
            raise UsageError(f"repo_id = {repo_id!r}; expected namespace/name.")
        return publish(self.folder, {"namespace": namespace, "name": name, "private": private})


@dataclass(frozen=True)
class Training:
    """A trained student: its folder, and what was measured."""

    folder: Path
    result: DistillResult

    @cached_property
    def model(self) -> SentenceTransformer:
        """The student, loaded when it is first used."""
        return _load(self.folder)


@dataclass(frozen=True, kw_only=True)
class Score:
    """One measurement: model -> value, None where it is not defined, over `n` pairs."""

    task: str
    split: str
    metric: str
    n: int
    values: dict[str, float | None]


@dataclass(frozen=True)
class Scores:
    """Measurements of several models on the same tasks."""

    rows: list[Score]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        values: dict[str, Any] = to_plain(self)
        return values

    def to_markdown(self) -> str:
        """Return a table, scores x100."""
        from hub_tools.reporting.tables import markdown_table, score_text

        head = ["task", *(self.rows[0].values if self.rows else ())]
        lines = [
            [
                f"{row.task}, {row.metric} ({row.split}, n={row.n})",
                *(score_text(row.metric, v) for v in row.values.values()),
            ]
            for row in self.rows
        ]
        return markdown_table([head, *lines])


def distill(
    teacher: str | Path,
    *,
    lang: str,
    output: str | Path,
    corpus: Files = (),
    parallel: Files = (),
    sts: Files = (),
    vocab_size: int | None = None,
    steps: int | None = None,
    **options: Any,
) -> Student:
    """Make a student of a teacher, specialised to a language: the command `hub-distill` as a function.

    Interrupted, the same call continues where it stopped.

    Args:
        teacher: Hub id, `id@revision` or folder of a sentence-transformers model.
        lang: code of the target language; more languages after commas.
        output: the run folder.
        corpus: text sources, as `--corpus` takes them; by default Wikipedia from the Hub.
        parallel: files of aligned sentences.
        sts: similarity tables to measure on.
        vocab_size: tokens of the student; by default half of the teacher's.
        steps: training steps; by default three times through the text.
        options: other fields of `RunConfig`; sections are dictionaries, e.g. `distill={"loss": "mse"}`.

    Raises:
        HubToolsError: an option cannot work, or something that the user can correct went wrong.

    Example:
        >>> student = distill(teacher, lang="tr", output=folder / "run", corpus="sample", vocab_size=4096, steps=2)
        >>> student.model.encode(["Kütüphane açık."]).shape
        (1, 32)
        >>> student.report.tokenizer.vocab_size
        4096
    """
    from hub_tools.pipeline import run

    values: dict[str, Any] = {
        "teacher": str(teacher),
        "lang": lang,
        "output": str(output),
        "corpus": {"sources": _several(corpus), "parallel": _several(parallel)},
        "tokenizer": {"vocab_size": vocab_size},
        "distill": {"steps": steps},
        "evaluate": {"sts": _several(sts)},
    }
    for name, value in options.items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, Mapping) else value
    config = RunConfig.from_dict(values)
    return Student(config.output, run(config, last="evaluate"))


def adapt_tokenizer(
    tokenizer: Any, *, texts: Texts, target: str, vocab_size: int | None = None, keep_normalizer: bool = False
) -> AdaptedTokenizer:
    """Prune a tokenizer's vocabulary and teach it a language; no model is needed.

    Args:
        tokenizer: the tokenizer to begin with.
        texts: language -> texts; the vocabulary is balanced over them.
        target: the language to learn, one of `texts`.
        vocab_size: tokens afterwards; by default half of what there were.
        keep_normalizer: keep the normalizer even if it loses letters of the language.

    Raises:
        UserError: the kind of tokenizer is not supported, or the size is impossible.

    Example:
        >>> adapted = adapt_tokenizer(teacher, texts={"tr": turkish}, target="tr", vocab_size=3000)
        >>> adapted.save_pretrained(folder / "tokenizer")
        >>> len(AutoTokenizer.from_pretrained(folder / "tokenizer"))
        3000
    """
    from hub_tools.tokenization.adapt import adapt_tokenizer as adapt
    from hub_tools.tokenization.tokenizer_json import TokenizerSpec

    config = TokenizerConfig(vocab_size=vocab_size, keep_normalizer=keep_normalizer)
    readers = {lang: partial(iter, lines) for lang, lines in texts.items()}
    with _tokenizer_folder(tokenizer) as tokenizer_folder:
        return adapt(TokenizerSpec.read(tokenizer_folder), readers, target=target, config=config)


def clone(
    teacher: Model, tokenizer: Any, *, init: Init = "mean", corpus: Corpus | None = None, target: str = ""
) -> SentenceTransformer:
    """Give a model another tokenizer: its weights, and new embedding rows for tokens that it does not have.

    Args:
        teacher: the model; it is left as it is.
        tokenizer: of any family.
        init: how new rows begin; all but `mean`, `position` and `length` read a corpus.
        corpus: what `build_corpus` returned.
        target: the language that the new tokens were learned from.

    Returns:
        The clone, on the CPU.

    Raises:
        UserError: the model cannot be cloned, or the tokenizer does not fit it.

    Example:
        >>> model = clone(teacher, folder / "tokenizer")
        >>> model[0].auto_model.get_input_embeddings().weight.shape
        torch.Size([3000, 32])
    """
    from hub_tools.cloning.clone import clone as write_clone
    from hub_tools.corpus.build import Corpus

    with TemporaryDirectory() as scratch, _teacher(teacher) as found, _tokenizer_folder(tokenizer) as tokenizer_folder:
        out = Path(scratch)
        write_clone(found, tokenizer_folder, corpus or Corpus.empty(), out / "clone", init=init, target=target)
        return _load(out / "clone")


def build_corpus(
    texts: Texts, *, teacher: Model, target: str, out: str | Path, parallel: Files = (), seed: int = 42
) -> Corpus:
    """Clean texts, cut them to a teacher's length, deduplicate them and hold some out.

    Args:
        texts: language -> texts.
        teacher: the model whose tokenizer measures the length.
        target: the target language.
        out: an empty folder for the corpus.
        parallel: files of aligned sentences.
        seed: of the split.

    Raises:
        UserError: there is too little text.

    Example:
        >>> corpus = build_corpus({"tr": turkish}, teacher=teacher, target="tr", out=folder / "corpus")
        >>> corpus.languages
        ('tr',)
    """
    from hub_tools.corpus.build import Corpus
    from hub_tools.corpus.build import build_corpus as build
    from hub_tools.corpus.sources import Source
    from hub_tools.models.tokenizer import read_model_tokenizer

    sources = [
        Source(lang=lang, name="texts", identity=None, open=partial(iter, lines)) for lang, lines in texts.items()
    ]
    files, languages = [Path(file) for file in _several(parallel)], tuple(dict.fromkeys((target, *texts)))
    with _teacher(teacher) as found:
        tokenizer = read_model_tokenizer(found.input_folder).load()
        build(
            Path(out),
            sources,
            files,
            languages=languages,
            limit=None,
            seed=seed,
            tokenizer=tokenizer,
            max_tokens=found.max_seq_length,
        )
    return Corpus(Path(out))


def embed(
    teacher: Model,
    corpus: Corpus,
    *,
    target: str,
    out: str | Path,
    config: EmbedConfig | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> EmbeddingDataset:
    """Compute a teacher's vector of every text of a corpus, in shards; a call that was cut off continues.

    Args:
        teacher: the model.
        corpus: what `build_corpus` returned.
        target: the target language.
        out: folder of the dataset, which `datasets.load_dataset` reads too.
        config: how many texts, behind which prompts, stored how.
        device: auto, cpu, cuda or mps.
        precision: auto, fp32 or bf16.

    Raises:
        UserError: a vector is not finite, or there is nothing to embed.

    Example:
        >>> vectors = embed(teacher, corpus, target="tr", out=folder / "embeddings")
        >>> vectors.manifest["dim"]
        32
    """
    from hub_tools.core.hardware import choose_hardware
    from hub_tools.vectors.dataset import EmbeddingDataset
    from hub_tools.vectors.embed import embed as write_embeddings

    with _teacher(teacher) as found:
        hardware = choose_hardware(device, precision)
        write_embeddings(found, corpus, Path(out), target=target, config=config or EmbedConfig(), hardware=hardware)
    return EmbeddingDataset(Path(out))


def train(
    student: Model,
    embeddings: EmbeddingDataset,
    *,
    out: str | Path,
    config: DistillConfig | None = None,
    device: str = "auto",
    precision: str = "auto",
    seed: int = 42,
) -> Training:
    """Train a student on a teacher's vectors; a call that was cut off continues.

    Args:
        student: the model to begin with.
        embeddings: what `embed` returned.
        out: folder of the trained student.
        config: how to train.
        device: auto, cpu, cuda or mps.
        precision: auto, fp32 or bf16; weights stay in fp32.
        seed: of the order of the texts.

    Raises:
        UserError: the loss is not finite, there is no text, or an option does not fit.

    Example:
        >>> training = train(model, vectors, out=folder / "student", config=DistillConfig(steps=2))
        >>> training.result.steps
        2
    """
    from hub_tools.core.hardware import choose_hardware
    from hub_tools.training.distill import distill as train_on_vectors

    with _model_folder(student) as model_folder:
        hardware = choose_hardware(device, precision)
        result = train_on_vectors(
            Path(model_folder), embeddings, Path(out), config or DistillConfig(), hardware=hardware, seed=seed
        )
    return Training(Path(out), result)


def evaluate(models: Mapping[str, Model], *, sts: Files) -> Scores:
    """Measure models on the same similarity tables, by the cosines of their vectors.

    Args:
        models: name -> model.
        sts: tables with columns sentence1, sentence2, score.

    Raises:
        UserError: a table has no such columns, or a model cannot be loaded.

    Example:
        >>> scores = evaluate({"teacher": teacher, "student": training.model}, sts=sts)
        >>> [row.metric for row in scores.rows]
        ['spearman', 'pearson']
    """
    from hub_tools.evaluation.tasks import sts_tasks

    tasks = sts_tasks([Path(file) for file in _several(sts)])
    loaded = {name: _loaded(model) for name, model in models.items()}
    rows = []
    for task in tasks:
        measured = {name: task.measure(model) for name, model in loaded.items()}
        for metric in next(iter(measured.values()), {}):
            values = {name: metrics[metric] for name, metrics in measured.items()}
            rows.append(Score(task=task.name, split=task.split, metric=metric, n=task.n, values=values))
    return Scores(rows)


@contextmanager
def _model_folder(model: Model) -> Iterator[str]:
    """Give a Hub id or folder as it is, and a model in memory as a folder for the length of a block."""
    if isinstance(model, str | Path):
        yield str(model)
        return
    with TemporaryDirectory() as saved:
        model.save_pretrained(saved, create_model_card=False)
        yield saved


@contextmanager
def _teacher(model: Model) -> Iterator[Teacher]:
    from hub_tools.models.resolve import find_teacher

    with _model_folder(model) as name:
        yield find_teacher(name)


@contextmanager
def _tokenizer_folder(tokenizer: Any) -> Iterator[Path]:
    from hub_tools.models.resolve import find_tokenizer

    if isinstance(tokenizer, str | Path):
        yield find_tokenizer(str(tokenizer))[0]
        return
    with TemporaryDirectory() as saved:
        tokenizer.save_pretrained(saved)
        yield Path(saved)


def _load(model_folder: Path) -> SentenceTransformer:
    from hub_tools.models.loading import load_model

    return load_model(model_folder, device="cpu")


def _loaded(model: Model) -> SentenceTransformer:
    from hub_tools.models.resolve import find_teacher

    return _load(find_teacher(str(model)).path) if isinstance(model, str | Path) else model


def _several(files: Files) -> tuple[str, ...]:
    return (str(files),) if isinstance(files, str | Path) else tuple(map(str, files))
