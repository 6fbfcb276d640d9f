"""The public functions: each takes objects or ids, returns objects, and leaves logging and global state alone.

What they have in common: a model (teacher, student) is a SentenceTransformer, its folder or its Hub id, and is left as
it is. A tokenizer is a fast tokenizer of transformers, what `adapt_tokenizer` returned, a folder or a Hub id. `texts`
are lists by language, `target` is the code of the language to learn, `parallel` are files of aligned sentences, `sts`
are tables with columns sentence1, sentence2, score, and `out` is a folder for the result. `device` is auto, cpu, cuda
or mps, `precision` is auto, fp32 or bf16; weights stay in fp32.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from hub_tools.cloning.clone import clone as write_clone
from hub_tools.config import DistillConfig, EmbedConfig, RunConfig, TokenizerConfig
from hub_tools.config_clone import Init
from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.fields import Section
from hub_tools.core.files import digest, hash_file, read_json, write_json
from hub_tools.core.hardware import Hardware, choose_hardware
from hub_tools.core.plain import changed, to_plain
from hub_tools.core.run_record import student_of
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.build import build_corpus as write_corpus
from hub_tools.corpus.sources import Source
from hub_tools.evaluation.evaluate import evaluate as measure
from hub_tools.evaluation.mteb_tasks import AnyTask, find_mteb_tasks
from hub_tools.evaluation.subject import Subject
from hub_tools.evaluation.tasks import read_tasks
from hub_tools.hub.publish import publish
from hub_tools.models.loading import LoadPolicy, load_model
from hub_tools.models.resolve import find_teacher, find_tokenizer
from hub_tools.models.teacher import Teacher
from hub_tools.models.tokenizer import read_teacher_tokenizer, read_tokenizer
from hub_tools.pipeline import run
from hub_tools.reporting.report import Report
from hub_tools.reporting.scores import scores_table
from hub_tools.reporting.tables import markdown_table
from hub_tools.results import DistillResult, EvaluationRow
from hub_tools.stages.base import parts_of
from hub_tools.stages.distill import DistillStage
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.adapted import AdaptedTokenizer
from hub_tools.training.distill import distill as train_on_vectors
from hub_tools.vectors.dataset import EmbeddingDataset
from hub_tools.vectors.embed import embed as write_embeddings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

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
        config = self.report.config
        policy = LoadPolicy(code=config.trust_remote_code, pickle=config.allow_pickle)
        return load_model(student_of(self.folder), device="cpu", policy=policy)

    def push_to_hub(self, repo_id: str, *, private: bool = False) -> list[str]:
        """Publish the model as `namespace/name`, and tokenizer and vectors named after it; return the addresses.

        Each gets its card. What was private once stays private.

        Raises:
            UserError: not logged in, no right to write, or the Hub refused.
        """
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
        return load_model(self.folder, device="cpu")


@dataclass(frozen=True)
class Scores:
    """Measurements of several models on the same tasks."""

    rows: list[EvaluationRow]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"rows": to_plain(self.rows)}

    def to_markdown(self) -> str:
        """Return a table, scores x100."""
        return markdown_table(scores_table(self.rows))


def distill(
    teacher: str | Path,
    *,
    lang: str,
    output: str | Path,
    corpus: Files = (),
    parallel: Files = (),
    sts: Files = (),
    vocab_size: int | Literal["auto"] | None = None,
    steps: int | None = None,
    **options: Any,
) -> Student:
    """Make a student of a teacher, specialised to a language: the command `hub-distill` as a function.

    The arguments are options (docs/options.md), `corpus` by default Wikipedia from the Hub. Other fields of `RunConfig`
    are `options`, sections as dictionaries, e.g. `distill={"loss": "mse"}`. Interrupted, the same call continues where
    it stopped.

    Raises:
        HubToolsError: an option cannot work, or something that the user can correct went wrong.

    Example:
        >>> student = distill(teacher, lang="tr", output=folder / "run", corpus="sample", vocab_size=4096, steps=2)
        >>> student.model.encode(["Kütüphane açık."]).shape
        (1, 32)
        >>> student.report.tokenizer.vocab_size
        4096
    """
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
        section = changed(value) if isinstance(value, Section) else value
        values[name] = {**values.get(name, {}), **section} if isinstance(section, Mapping) else section
    config = RunConfig.from_dict(values)
    if config.student:
        raise UsageError("distill() returns one student. Leave out student, or give it to hub_tools.pipeline.run.")
    return Student(config.output, run(config, last="evaluate"))


def adapt_tokenizer(
    tokenizer: Any,
    *,
    texts: Texts,
    target: str,
    vocab_size: int | Literal["auto"] | None = None,
    prompts: Iterable[str] = (),
    keep_normalizer: bool = False,
    keep_characters: bool = False,
) -> AdaptedTokenizer:
    """Prune a tokenizer's vocabulary, balanced over the texts, and teach it a language; no model is needed.

    It has `vocab_size` tokens afterwards; `auto` are the fewest that cost the target and English 1% more tokens than
    before, each. Without it that is the default above 100,000 tokens, else half of what there were. The `prompts` of
    its model, such as e5's "query: ", are read in the same pieces as before. A normalizer that loses letters of the
    language is changed, unless `keep_normalizer` is true. Characters that the texts do not have may be lost, unless
    `keep_characters` is true.

    Raises:
        UserError: the kind of tokenizer is not supported, or the size is impossible.

    Example:
        >>> adapted = adapt_tokenizer(teacher, texts={"tr": turkish}, target="tr", vocab_size=3000)
        >>> adapted.save_pretrained(folder / "tokenizer")
        >>> len(AutoTokenizer.from_pretrained(folder / "tokenizer"))
        3000
    """
    config = TokenizerConfig(vocab_size=vocab_size, keep_normalizer=keep_normalizer, keep_characters=keep_characters)
    readers = {lang: partial(iter, lines) for lang, lines in texts.items()}
    with _tokenizer_folder(tokenizer) as tokenizer_folder:
        teacher = read_tokenizer(tokenizer_folder)
        return Adaptation(teacher, readers, targets=(target,), config=config, prompts=prompts).make()


def clone(
    teacher: Model, tokenizer: Any, *, init: Init = "mean", corpus: Corpus | None = None, target: str = ""
) -> SentenceTransformer:
    """Give a model a tokenizer of any family: its weights, and new embedding rows for tokens that it does not have.

    `init` says how new rows begin; all but `mean`, `position` and `length` read what `build_corpus` returned. The clone
    is on the CPU.

    Raises:
        UserError: the model cannot be cloned, or the tokenizer does not fit it.

    Example:
        >>> model = clone(teacher, folder / "tokenizer")
        >>> model[0].auto_model.get_input_embeddings().weight.shape
        torch.Size([3000, 32])
    """
    with TemporaryDirectory() as scratch, _teacher(teacher) as model, _tokenizer_folder(tokenizer) as tokenizer_folder:
        out = Path(scratch)
        write_clone(model, tokenizer_folder, corpus or Corpus.empty(), out / "clone", init=init, targets=(target,))
        return load_model(out / "clone", device="cpu")


def build_corpus(
    texts: Texts, *, teacher: Model, target: str, out: str | Path, parallel: Files = (), seed: int = 42
) -> Corpus:
    """Clean texts, cut them to the length that a teacher reads, deduplicate them and hold some out, in an empty folder.

    Of each language but the target and English at most a tenth of the target's texts is kept, or 1,000.

    Raises:
        UserError: the folder holds something already, or there is too little text.

    Example:
        >>> corpus = build_corpus({"tr": turkish}, teacher=teacher, target="tr", out=folder / "corpus")
        >>> corpus.languages
        ('tr',)
    """
    if Path(out).is_dir() and any(Path(out).iterdir()):
        raise UserError(f"{out} is not empty: a corpus in it would not be built again. Choose another folder.")
    source = partial(Source, name="texts", identity=None)
    with _teacher(teacher) as model:
        write_corpus(
            Path(out),
            [source(lang=lang, open=partial(iter, lines)) for lang, lines in texts.items()],
            [Path(file) for file in _several(parallel)],
            targets=(target,),
            languages=tuple(dict.fromkeys((target, *texts))),
            limits={},
            seed=seed,
            tokenizer=read_teacher_tokenizer(model).load(),
            max_tokens=model.max_seq_length,
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
    """Compute a teacher's vector of every text of a corpus; the same call again continues one that was cut off.

    `datasets.load_dataset` reads the dataset in `out` too.

    Raises:
        UserError: a vector is not finite, or there is nothing to embed.

    Example:
        >>> vectors = embed(teacher, corpus, target="tr", out=folder / "embeddings")
        >>> vectors.manifest["dim"]
        32
    """
    hardware = choose_hardware(device, precision)
    config = config or EmbedConfig()
    with _teacher(teacher) as model:
        _claim(out, model.identity, hash_file(corpus.path / "stats.json"), target, parts_of(config), str(hardware))
        write_embeddings(model, corpus, Path(out), targets=(target,), config=config, hardware=hardware)
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
    """Train a student on the vectors that `embed` returned; the same call again continues one that was cut off.

    Raises:
        UserError: the loss is not finite, there is no text, or an option does not fit.

    Example:
        >>> training = train(model, vectors, out=folder / "student", config=DistillConfig(steps=2))
        >>> training.result.steps
        2
    """
    config, hardware = config or DistillConfig(), choose_hardware(device, precision)
    with _teacher(student) as model:
        vectors = hash_file(embeddings.path / "manifest.json")
        _claim(out, model.identity, vectors, parts_of(config), str(hardware), seed)
        result = train_on_vectors(model.path, embeddings, Path(out), config, hardware=hardware, seed=seed)
    for pattern in DistillStage.leftovers:
        for path in Path(out).glob(pattern):
            shutil.rmtree(path)
    return Training(Path(out), result)


def evaluate(models: Mapping[str, Model], *, lang: str = "en", mteb: Files = (), **files: Files) -> Scores:
    """Measure models, by name, on the same data; differences are to the first of them.

    `files` are what the options of the same names take: sts, retrieval, bitext, classification, clustering, pairs;
    `mteb` names tasks of mteb, or a language whose tasks count. `lang` says which rows and columns of tables in many
    languages count. Models run on the CPU, in fp32.

    Raises:
        UserError: a table has other columns than expected, mteb knows no such task, or a model cannot be loaded.

    Example:
        >>> scores = evaluate({"teacher": teacher, "student": training.model}, sts=sts)
        >>> [row.metric for row in scores.rows]
        ['spearman', 'pearson']
    """
    own = [task for kind, specs in files.items() for task in read_tasks(kind, _several(specs), (lang,))]
    tasks: list[AnyTask] = [*own, *find_mteb_tasks(_several(mteb), (lang,))]
    hardware = Hardware(device="cpu", precision="fp32")
    return Scores(measure({name: Subject(partial(_loaded, m), hardware) for name, m in models.items()}, tasks))


@contextmanager
def _saved(thing: Any, **options: Any) -> Iterator[str]:
    """Give a Hub id or folder as it is, and an object in memory as a folder for the length of a block."""
    if isinstance(thing, str | Path):
        yield str(thing)
        return
    with TemporaryDirectory() as folder:
        thing.save_pretrained(folder, **options)
        yield folder


def _claim(out: str | Path, *inputs: Any) -> None:
    """Make a folder that of a call with these inputs; a UserError if something else has files there."""
    file, key = Path(out) / ".call.json", digest(inputs)
    if file.exists() and read_json(file) == key:
        return
    if file.parent.is_dir() and any(file.parent.iterdir()):
        raise UserError(f"{out} holds files that were made from something else. Choose another folder.")
    write_json(file, key)


@contextmanager
def _teacher(model: Model) -> Iterator[Teacher]:
    with _saved(model, create_model_card=False) as name:
        yield find_teacher(name)


@contextmanager
def _tokenizer_folder(tokenizer: Any) -> Iterator[Path]:
    with _saved(tokenizer) as name:
        yield find_tokenizer(name)[0]


def _loaded(model: Model) -> SentenceTransformer:
    return load_model(find_teacher(str(model)).path, device="cpu") if isinstance(model, str | Path) else model


def _several(files: Files) -> tuple[str, ...]:
    return (str(files),) if isinstance(files, str | Path) else tuple(map(str, files))
