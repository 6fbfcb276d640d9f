"""What a --corpus value stands for: local files, datasets of the Hub, and the bundled sample."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from glob import has_magic
from pathlib import Path
from typing import Any

from hub_tools.core.errors import UserError
from hub_tools.core.files import hash_file, user_path
from hub_tools.core.hub_errors import hub_errors
from hub_tools.core.languages import LANGUAGES, MORE_LANGUAGES, wikipedia_code
from hub_tools.corpus.readers import (
    FORMATS,
    NoFileError,
    find_files,
    list_names,
    read_table,
    read_texts,
    sample_file,
    text_of,
)

SAMPLE = "sample"
WIKIPEDIA = "wikimedia/wikipedia"
DEFAULT_SOURCE = f"{WIKIPEDIA}:20231101.{{lang}}"
# How many texts of a Hub dataset are held to draw from at random; streaming reads it in order otherwise.
SHUFFLE_BUFFER = 10_000
# Readers of datasets that take rows as they are; others open what a row names, or run what it holds.
DATASET_READERS = ("csv", "json", "parquet", "arrow", "text")


class NoSuchTextError(UserError):
    """A Hub dataset exists but has no such language."""


@dataclass(frozen=True)
class HubTexts:
    """A column of a dataset of the Hub.

    Errors of all that reads it: it cannot be read, or has no such configuration, split or column (UserError).
    """

    name: str
    config: str
    split: str
    column: str
    lang: str
    revision: str | None
    seed: int

    def texts(self) -> Iterator[str]:
        """Yield the texts, drawn from those that come next."""
        with _reading(self.name, self.config):
            yield from self._texts_of(shuffled(self._open(), self.seed), "text")

    def sizes(self) -> tuple[int, int | None]:
        """Return the number of shards, which are files, and that of rows; None where the dataset does not say it."""
        with _reading(self.name, self.config):
            stream = self._open()
            split = (stream.info.splits or {}).get(self.split)
            return int(stream.num_shards), split and int(split.num_examples)

    def shard(self, number: int) -> Iterator[str]:
        """Yield the texts of a shard in their order."""
        with _reading(self.name, self.config):
            stream = _open_once(self)
            yield from self._texts_of(stream.shard(stream.num_shards, number), f"shard {number}, text")

    def _open(self) -> Any:
        return _open_stream(self.name, self.config, self.split, self.revision)

    def _texts_of(self, rows: Iterable[dict[str, Any]], where: str) -> Iterator[str]:
        for number, row in enumerate(rows, 1):
            if self.column not in row:
                raise UserError(f"Dataset {self.name} has no column {self.column!r}; it has: {list_names(row)}.")
            yield text_of(row[self.column], f"Dataset {self.name}, {where} {number}: {self.column!r}", self.lang)


@lru_cache(maxsize=1)  # a process that has several shards asks the Hub for its files once
def _open_once(texts: HubTexts) -> Any:
    return texts._open()


def shuffled(stream: Any, seed: int) -> Any:
    """Shuffle a stream of `datasets`: its order depends on the seed and on how many rows each shard has."""
    return stream.shuffle(seed=seed, buffer_size=SHUFFLE_BUFFER)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Texts of one language from one place."""

    lang: str
    name: str  # what to call it in messages
    identity: Any  # plain data that changes when the content does
    open: Callable[[], Iterator[str]]  # starts reading; yields raw texts
    dataset: str | None = None  # what it is streamed from, as it was asked for; None for local text
    revision: str | None = None  # the commit of that dataset; None where it is not known
    stream: HubTexts | None = None  # how that dataset is read; None for local text


def find_sources(spec: str, languages: tuple[str, ...], seed: int) -> list[Source]:
    """Find the texts that a --corpus value stands for, in `languages`, the target first.

    It is `sample`, a file, a folder or a pattern such as `data/*.txt` (in the first of `languages`), one of these with
    `{lang}` in its name, or a Hub dataset `owner/name[@revision][:config[:split[:column]]]` whose config may hold
    `{lang}`; `seed` shuffles what is streamed.

    Raises:
        UserError: nothing is found for the target language, or the value makes no sense.
    """
    if spec == SAMPLE:
        return _sample_sources(languages)
    example = spec.replace("{lang}", languages[0])
    if names_file(example):
        return _file_sources(spec, languages)
    return _hub_sources(spec, languages, seed)


def names_file(spec: str) -> bool:
    """Return whether a value stands for files of this machine, and not for a dataset of the Hub."""
    is_format = spec.lower().removesuffix(".gz").endswith(FORMATS)
    # Nothing can lie in a file, and no name of an owner is one of a file that is here.
    return is_format or has_magic(spec) or user_path(spec).exists() or user_path(spec.partition("/")[0]).is_file()


def _sample_sources(languages: tuple[str, ...]) -> list[Source]:
    columns = {file: next(read_table(file)).keys() for file in map(sample_file, ("languages.tsv", "tr-en.tsv"))}

    def read(lang: str, files: list[Path]) -> Iterator[str]:
        for file in files:
            yield from (row[lang] for row in read_table(file))

    sources = []
    for lang in languages:
        files = [file for file, names in columns.items() if lang in names]
        identity = [SAMPLE, lang, *map(hash_file, files)]
        if files:
            name = f"sample ({lang})"
            sources.append(Source(lang=lang, name=name, identity=identity, open=partial(read, lang, files)))
    return sources


def _file_sources(spec: str, languages: tuple[str, ...]) -> list[Source]:
    sources = []
    for lang in languages if "{lang}" in spec else languages[:1]:
        try:
            files = find_files("--corpus", spec.replace("{lang}", lang))
        except NoFileError:
            if lang == languages[0]:
                raise
            continue
        _check_names(spec, files, lang)
        for path in files:
            # Size and time stand for the content: hashing gigabytes at each start would be slow.
            stat = path.stat()
            identity = [str(path.absolute()), stat.st_size, stat.st_mtime_ns]
            read = partial(read_texts, path, lang)
            sources.append(Source(lang=lang, name=str(path), identity=identity, open=read))
    return sources


def _check_names(spec: str, files: list[Path], lang: str) -> None:
    """Refuse a folder with a file for each language: all of it would be taken for text in one."""
    codes = {file.name.partition(".")[0]: file for file in files}
    others = [file for code, file in codes.items() if code in LANGUAGES | MORE_LANGUAGES and code != lang]
    if len(files) > 1 and others:
        name = others[0].name.replace(others[0].name.partition(".")[0], "{lang}", 1)
        raise UserError(
            f"--corpus {spec}: {others[0].name} seems to hold another language than {lang}; did you mean "
            f"{others[0].parent / name}? Expected text in {lang} alone, or {{lang}} in the name."
        )


def _hub_sources(spec: str, languages: tuple[str, ...], seed: int) -> list[Source]:
    dataset, config, split, column = (*spec.split(":"), "", "", "")[:4]
    name, _, branch = dataset.partition("@")
    if not is_dataset_id(name.replace("{lang}", "x")):
        raise UserError(
            f"--corpus {spec!r} is neither a file or folder here nor a Hub dataset. Expected sample, a file, a folder, "
            "a path with {lang}, or owner/name[@revision][:config[:split[:column]]]."
        )
    commit_of = cache(dataset_revision)
    sources = []
    for lang in languages if "{lang}" in spec else languages[:1]:
        code = wikipedia_code(lang) if name == WIKIPEDIA else lang
        own, its_config, its_split, its_column = (
            part.replace("{lang}", code) for part in (name, config, split or "train", column or "text")
        )
        if user_path(own).exists():
            raise UserError(
                f"--corpus {spec}: {own} is a file or folder here, and a dataset of the Hub would be read "
                "otherwise. Name the text in it, or work in another folder."
            )
        commit = commit_of(own, branch)
        written = own + dataset[len(name) :]
        label = ":".join(filter(None, (own, its_config)))
        # As it was written too: the report, which tells how to do the run again, names it so.
        identity = [written, its_config, its_split, its_column, commit or branch, seed]
        stream = HubTexts(own, its_config, its_split, its_column, lang, commit or branch or None, seed)
        known: Any = {"dataset": written, "revision": commit, "stream": stream}
        sources.append(Source(lang=lang, name=label, identity=identity, open=stream.texts, **known))
    return sources


def dataset_revision(name: str, branch: str = "") -> str | None:
    """Return the commit of a dataset of the Hub, or the one that the cache remembers; None where nobody can tell.

    `branch` may be a tag or commit too; nothing means the main branch. A UserError says that there is no such dataset
    or revision, or no access to it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    with _reading(name):
        try:
            # A file that every repo has: the cache then knows the commit offline too.
            folder = snapshot_download(
                name, repo_type="dataset", revision=branch or None, allow_patterns=[".gitattributes"]
            )
        except LocalEntryNotFoundError as error:
            # Without a network nobody can tell; a Hub that answered with an error may be well again in a minute.
            if isinstance(error.__cause__, HfHubHTTPError):
                raise
            return None
        return Path(folder).name


def is_dataset_id(name: str) -> bool:
    """Return whether a name is owner/name: any other, such as `text`, makes `datasets` read files of this machine."""
    return bool(re.fullmatch(r"[\w.-]*\w[\w.-]*/[\w.-]*\w[\w.-]*", name, re.ASCII)) and ".." not in name


def open_dataset(name: str, config: str = "", *, revision: str | None = None) -> Any:
    """Return a builder of `datasets` for a dataset of the Hub, owner/name, that reads nothing outside of its repo.

    Raises:
        UserError: it is a file or folder here, its files are no table or text, or its README names files elsewhere.
    """
    from datasets import load_dataset_builder

    if not is_dataset_id(name) or Path(name).exists():
        raise UserError(f"{name} is no dataset of the Hub. Expected owner/name, and nothing here of that name.")
    with own_files_alone(name, f"hf://datasets/{name}@"):
        builder: Any = load_dataset_builder(name, config or None, revision=revision)
    reader = type(builder).__module__.rpartition(".")[2]
    if reader not in DATASET_READERS:
        raise UserError(f"Dataset {name} holds {reader}; expected text in files of {', '.join(DATASET_READERS)}.")
    return builder


@contextmanager
def own_files_alone(name: str, root: str) -> Iterator[None]:
    """Let `datasets` find files below `root` alone: a README may name any path of this machine and any address.

    `root` is a folder with its slash, or `hf://datasets/ID@`; what lies outside of it is a UserError.
    """
    from datasets import data_files

    resolve = data_files.resolve_pattern

    def checked(pattern: str, base_path: str, *args: Any, **kwargs: Any) -> Any:
        rest = pattern.removeprefix(f"{base_path}/")
        base = f"{base_path}/"
        way = base.removeprefix(root) + rest
        if not base.startswith(root) or rest.startswith(("/", "~")) or re.search(r":|\\|(^|/)\.\.(/|$)", way):
            raise UserError(f"Dataset {name} names files outside of itself in its README: {pattern[:200]}. Not read.")
        return resolve(pattern, base_path, *args, **kwargs)

    data_files.resolve_pattern = checked
    try:
        yield
    finally:
        data_files.resolve_pattern = resolve


def stream_rows(name: str, config: str, split: str, *, revision: str | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a dataset of the Hub in its order.

    Raises:
        UserError: it cannot be read, or has no such configuration or split.
    """
    with _reading(name, config):
        yield from _open_stream(name, config, split, revision)


def _open_stream(name: str, config: str, split: str, revision: str | None) -> Any:
    try:
        # Undecoded: a cell of an image or a sound may name any file.
        return open_dataset(name, config, revision=revision).as_streaming_dataset(split=split).decode(False)
    except ValueError as error:
        # How datasets says that there is no such configuration or split; anything else is no reason to go without.
        if "Available" not in str(error):
            raise
        raise NoSuchTextError(f"Dataset {name!r} has no {config!r} with split {split!r}: {error}") from error


def _reading(name: str, config: str = "") -> AbstractContextManager[None]:
    dataset = ":".join(filter(None, (name, config)))
    return hub_errors(f"dataset {dataset!r}", f"Could not read dataset {name!r} from the Hub")
