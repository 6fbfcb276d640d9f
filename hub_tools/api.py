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
    from hub_tools.results import DistillResult, EvaluationRow
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
