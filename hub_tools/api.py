"""The public functions: each takes objects or ids, returns objects, and leaves logging and global state alone.

`distill` is the whole job; the others are its stages, for those who bring their own texts, tokenizers or vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hub_tools.config import DistillConfig, EmbedConfig, Init, RunConfig, TokenizerConfig
from hub_tools.core.errors import UsageError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hub_tools.corpus.build import Corpus
    from hub_tools.reporting.report import Report
    from hub_tools.results import DistillResult
    from hub_tools.tokenization.adapt import AdaptedTokenizer
    from hub_tools.vectors.dataset import EmbeddingDataset

    Model = str | Path | SentenceTransformer
    Texts = Mapping[str, Iterable[str]]


@dataclass(frozen=True)
class Student:
    """A finished student.

    Attributes:
        folder: the run folder; `folder / "student"` loads with SentenceTransformer.
        report: what was done and measured.
    """

    folder: Path
    report: Report

    @cached_property
    def model(self) -> SentenceTransformer:
        """The student, loaded when it is first asked for."""
        return _load(self.folder / "student")

    def push_to_hub(self, repo_id: str, *, private: bool = False) -> list[str]:
        """Publish the student, its tokenizer and the teacher's vectors, each with its card.

        Args:
            repo_id: of the model, `namespace/name`; the others are named after it.
            private: publish in private repos. What was private once stays private.

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


def distill(
    teacher: str,
    *,
    lang: str,
    output: str | Path,
    corpus: str | Sequence[str] = (),
    parallel: str | Sequence[str] = (),
    sts: str | Sequence[str] = (),
    vocab_size: int | None = None,
    steps: int | None = None,
    **options: Any,
) -> Student:
    """Make a student of a teacher, specialised to a language; the same as the command `hub-distill`.

    Interrupted, the same call continues where it stopped.

    Args:
        teacher: Hub id, `id@revision` or folder of a sentence-transformers model.
        lang: code of the target language; more languages after commas.
        output: the run folder.
        corpus: text sources, as `--corpus` takes them; by default Wikipedia from the Hub.
        parallel: files of aligned sentences.
        sts: tables to measure on.
        vocab_size: tokens of the student; by default half of the teacher's.
        steps: training steps; by default three times through the text.
        options: other fields of `RunConfig`, sections as dictionaries, e.g. `distill={"loss": "mse"}`.

    Returns:
        The student.

    Raises:
        HubToolsError: an option cannot work, or something that the user can correct went wrong.

    Example:
        >>> student = distill(
        ...     teacher, lang="tr", output=folder / "run", corpus="sample", vocab_size=4096, steps=2, device="cpu"
        ... )
        >>> student.model.encode(["Kütüphane açık."]).shape
        (1, 32)
        >>> student.report.tokenizer.vocab_size
        4096
    """
    from hub_tools.pipeline import run

    sections: dict[str, dict[str, Any]] = {
        "corpus": {"sources": _several(corpus), "parallel": _several(parallel)},
        "tokenizer": {"vocab_size": vocab_size},
        "distill": {"steps": steps},
        "evaluate": {"sts": _several(sts)},
    }
    values: dict[str, Any] = {"teacher": str(teacher), "lang": lang, "output": str(output), **sections}
    for name, value in options.items():
        values[name] = {**sections[name], **value} if name in sections else value
    config = RunConfig.from_dict(values)
    return Student(config.output, run(config, last="evaluate"))


def adapt_tokenizer(
    tokenizer: Any, *, texts: Texts, target: str, vocab_size: int | None = None, keep_normalizer: bool = False
) -> AdaptedTokenizer:
    """Prune a tokenizer's vocabulary and teach it a language; no model is needed.

    Args:
        tokenizer: a fast tokenizer of transformers, or the Hub id or folder of one.
        texts: language -> its texts; each is read several times, so no iterators.
        target: the language to learn, one of `texts`.
        vocab_size: tokens afterwards; by default half of what there were.
        keep_normalizer: keep the normalizer even if it loses letters of the language.

    Returns:
        The tokenizer, with `save_pretrained(folder)`, and how it came about.

    Raises:
        UserError: the kind of tokenizer is not supported, or the size is impossible.

    Example:
        >>> turkish = ["Kütüphane bugün açık.", "Kitaplar rafta duruyor."] * 20
        >>> adapted = adapt_tokenizer(teacher, texts={"tr": turkish}, target="tr", vocab_size=3000)
        >>> len(adapted.tokenizer)
        3000
    """
    from hub_tools.tokenization.adapt import adapt_tokenizer as adapt

    readers: dict[str, Callable[[], Iterable[str]]] = {lang: partial(iter, list(own)) for lang, own in texts.items()}
    config = TokenizerConfig(vocab_size=vocab_size, keep_normalizer=keep_normalizer)
    with _tokenizer_folder(tokenizer) as folder:
        return adapt(read_tokenizer(folder), readers, target=target, config=config)


def clone(
    teacher: Model, tokenizer: Any, *, init: Init = "mean", corpus: Corpus | None = None, target: str = "en"
) -> SentenceTransformer:
    """Give a teacher another tokenizer: its weights, and new embedding rows for the tokens that it does not have.

    Args:
        teacher: a model, or its Hub id or folder.
        tokenizer: what `adapt_tokenizer` returned, a fast tokenizer of transformers, or the Hub id or folder of one.
        init: how new rows begin; `align`, `frequency`, `focus` and `token_distillation` need a corpus.
        corpus: text, from `build_corpus`.
        target: the language of the corpus that the tokens were learned from.

    Returns:
        The clone, on the CPU.

    Raises:
        UserError: the teacher cannot be cloned, or the tokenizer does not fit it.

    Example:
        >>> same = clone(teacher, teacher)
        >>> bool(abs(same.encode("Merhaba") - SentenceTransformer(str(teacher)).encode("Merhaba")).max() < 1e-6)
        True
    """
    from hub_tools.cloning.clone import clone as write_clone
    from hub_tools.corpus.build import Corpus

    with TemporaryDirectory() as scratch, _teacher(teacher) as found, _tokenizer_folder(tokenizer) as folder:
        texts = corpus or Corpus.empty()
        write_clone(found, folder, texts, Path(scratch) / "clone", init=init, target=target)
        return _load(Path(scratch) / "clone")


def build_corpus(
    texts: Texts, *, teacher: Model, target: str, out: str | Path, parallel: str | Sequence[str] = (), seed: int = 42
) -> Corpus:
    """Clean texts, cut them to the teacher's length, deduplicate them and hold some out.

    Args:
        texts: language -> its texts.
        teacher: the model whose tokenizer measures the length.
        target: the target language.
        out: an empty folder for the corpus.
        parallel: files of aligned sentences.
        seed: of the split.

    Returns:
        The corpus, as `clone` and `embed` take it.

    Raises:
        UserError: there is too little text.

    Example:
        >>> turkish = [f"Bu, {number} numaralı cümledir." for number in range(200)]
        >>> corpus = build_corpus({"tr": turkish}, teacher=teacher, target="tr", out=folder / "corpus")
        >>> corpus.languages
        ['tr']
    """
    from hub_tools.corpus.build import Corpus
    from hub_tools.corpus.build import build_corpus as build
    from hub_tools.corpus.sources import Source

    sources = [
        Source(lang=lang, name="texts", identity=None, open=partial(iter, list(own))) for lang, own in texts.items()
    ]
    with _teacher(teacher) as found:
        build(
            Path(out),
            sources,
            [Path(file) for file in _several(parallel)],
            languages=(target, *(lang for lang in texts if lang != target)),
            limit=None,
            seed=seed,
            tokenizer=found.tokenizer_spec().load(),
            max_tokens=found.max_seq_length,
        )
    return Corpus(Path(out))


def embed(
    teacher: Model, corpus: Corpus, *, target: str, out: str | Path, device: str = "auto", precision: str = "auto"
) -> EmbeddingDataset:
    """Compute the teacher's vector of every text, in shards; a call that was cut off continues.

    Args:
        teacher: a model, or its Hub id or folder.
        corpus: the texts.
        target: the target language.
        out: folder of the dataset.
        device: auto, cpu, cuda or mps.
        precision: auto, fp32 or bf16.

    Returns:
        The dataset; `datasets.load_dataset(str(out))` reads it too.

    Raises:
        UserError: a vector is not finite, or there is nothing to embed.

    Example:
        >>> dataset = embed(teacher, corpus, target="tr", out=folder / "embeddings", device="cpu")
        >>> dataset.rows("train") + dataset.rows("validation")
        200
    """
    from hub_tools.core.hardware import choose_hardware
    from hub_tools.vectors.dataset import EmbeddingDataset
    from hub_tools.vectors.embed import embed as write_embeddings

    with _teacher(teacher) as found:
        hardware = choose_hardware(device, precision)
        write_embeddings(found, corpus, Path(out), target=target, config=EmbedConfig(), hardware=hardware)
    return EmbeddingDataset(Path(out))


@dataclass(frozen=True)
class Training:
    """A trained student.

    Attributes:
        folder: of the student; SentenceTransformer loads it.
        result: what was measured during the training.
    """

    folder: Path
    result: DistillResult

    @cached_property
    def model(self) -> SentenceTransformer:
        """The student, loaded when it is first asked for."""
        return _load(self.folder)


def train(
    student: Model,
    embeddings: EmbeddingDataset | str | Path,
    *,
    out: str | Path,
    config: DistillConfig | None = None,
    device: str = "auto",
    precision: str = "auto",
    seed: int = 42,
) -> Training:
    """Train a student on a teacher's vectors; a call that was cut off continues.

    Args:
        student: the clone: a model, or its folder.
        embeddings: the teacher's vectors, or their folder.
        out: folder of the student.
        config: how to train.
        device: auto, cpu, cuda or mps.
        precision: auto, fp32 or bf16; weights stay in fp32.
        seed: of the order of the texts.

    Returns:
        The student, and what was measured.

    Raises:
        UserError: the loss is not finite, there is no text, or an option does not fit.

    Example:
        >>> training = train(same, dataset, out=folder / "student", config=DistillConfig(steps=2), device="cpu")
        >>> training.result.steps
        2
    """
    from hub_tools.core.hardware import choose_hardware
    from hub_tools.training.distill import distill as train_on_vectors
    from hub_tools.vectors.dataset import EmbeddingDataset

    dataset = embeddings if isinstance(embeddings, EmbeddingDataset) else EmbeddingDataset(Path(embeddings))
    with _model_folder(student) as folder:
        hardware = choose_hardware(device, precision)
        result = train_on_vectors(folder, dataset, Path(out), config or DistillConfig(), hardware=hardware, seed=seed)
    return Training(Path(out), result)


@contextmanager
def _teacher(model: Model) -> Iterator[Any]:
    """A model as the teacher that the stages know."""
    from hub_tools.models.resolve import find_teacher

    with _model_folder(model) as name:
        yield find_teacher(str(name))


@contextmanager
def _model_folder(model: Model) -> Iterator[Any]:
    """A Hub id or folder as it is, and a model in memory as a folder for the length of a block."""
    if isinstance(model, str | Path):
        yield model
        return
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder, create_model_card=False)
        yield Path(folder)


@contextmanager
def _tokenizer_folder(tokenizer: Any) -> Iterator[Path]:
    """The folder of a tokenizer, made for the length of a block where it is in memory."""
    from hub_tools.models.resolve import find_tokenizer

    if isinstance(tokenizer, str | Path):
        yield find_tokenizer(str(tokenizer))[0]
        return
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        yield Path(folder)


def _load(folder: Path) -> SentenceTransformer:
    from hub_tools.models.loading import load_model

    return load_model(folder, device="cpu")


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
