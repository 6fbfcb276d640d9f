"""What a --corpus value stands for: local files, datasets of the Hub, and the bundled sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from hub_tools.core.errors import UserError
from hub_tools.core.files import hash_file
from hub_tools.core.hub_errors import hub_errors
from hub_tools.core.languages import wikipedia_code
from hub_tools.corpus.readers import FORMATS, read_table, read_texts, sample_file

SAMPLE = "sample"
WIKIPEDIA = "wikimedia/wikipedia"
DEFAULT_SOURCE = f"{WIKIPEDIA}:20231101.{{lang}}"
# How many texts of a Hub dataset are held to draw from at random; streaming reads it in order otherwise.
SHUFFLE_BUFFER = 10_000


class NoSuchTextError(UserError):
    """A Hub dataset exists but has no such language."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Texts of one language from one place."""

    lang: str
    name: str  # what to call it in messages
    identity: Any  # plain data that changes when the content does
    open: Callable[[], Iterator[str]]  # starts reading; yields raw texts
    dataset: str | None = None  # what it is streamed from, as it was asked for; None for local text
    revision: str | None = None  # the commit of that dataset; None where it is not known


def find_sources(spec: str, languages: tuple[str, ...], seed: int) -> list[Source]:
    """Find the texts that a --corpus value stands for, in `languages`, the target first.

    It is `sample`, a file (its language is the first of `languages`), a path with `{lang}`, or a Hub dataset
    `id[@revision][:config[:split[:column]]]` whose config may hold `{lang}`; `seed` shuffles what is streamed.

    Raises:
        UserError: nothing is found for the target language, or the value makes no sense.
    """
    if spec == SAMPLE:
        return _sample_sources(languages)
    if spec.removesuffix(".gz").endswith(FORMATS) or Path(spec.replace("{lang}", "en")).expanduser().exists():
        return _file_sources(spec, languages)
    return _hub_sources(spec, languages, seed)


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
        path = Path(spec.replace("{lang}", lang)).expanduser()
        if path.is_file():
            # Size and time stand for the content: hashing gigabytes at each start would be slow.
            stat = path.stat()
            identity = [str(path.absolute()), stat.st_size, stat.st_mtime_ns]
            read = partial(read_texts, path, lang)
            sources.append(Source(lang=lang, name=str(path), identity=identity, open=read))
        elif lang == languages[0]:
            hint = f" (it is a folder; did you mean {spec.rstrip('/')}/{{lang}}.txt.gz?)" if path.is_dir() else ""
            raise UserError(f"--corpus {spec}: there is no file {path} for the target language{hint}.")
    return sources


def _hub_sources(spec: str, languages: tuple[str, ...], seed: int) -> list[Source]:
    dataset, config, split, column = (*spec.split(":"), "", "", "")[:4]
    name, _, branch = dataset.partition("@")
    if name.count("/") > 1 or " " in name or not name:
        raise UserError(
            f"--corpus {spec!r} is neither a file here nor a Hub dataset. Expected sample, a file, a path with "
            "{lang}, or id[@revision][:config[:split[:column]]]."
        )
    commit_of = cache(dataset_revision)
    sources = []
    for lang in languages if "{lang}" in spec else languages[:1]:
        code = wikipedia_code(lang) if name == WIKIPEDIA else lang
        parts = [part.replace("{lang}", code) for part in (name, config, split or "train", column or "text")]
        commit = commit_of(parts[0], branch)
        written = parts[0] + dataset[len(name) :]
        label = ":".join(part for part in parts[:2] if part)
        # As it was written too: the report, which tells how to do the run again, names it so.
        identity = [written, *parts[1:], commit or branch, seed]
        read = partial(_stream, *parts, revision=commit or branch or None, seed=seed)
        sources.append(Source(lang=lang, name=label, identity=identity, open=read, dataset=written, revision=commit))
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


def _stream(name: str, config: str, split: str, column: str, *, revision: str | None, seed: int) -> Iterator[str]:
    from datasets import load_dataset

    with _reading(name, config):
        try:
            stream = load_dataset(name, config or None, split=split, streaming=True, revision=revision)
        except ValueError as error:
            # How datasets says that there is no such configuration or split.
            raise NoSuchTextError(f"Dataset {name!r} has no {config!r} with split {split!r}: {error}") from error
        for row in stream.shuffle(seed=seed, buffer_size=SHUFFLE_BUFFER):
            if column not in row:
                raise UserError(f"Dataset {name} has no column {column!r}; it has: {', '.join(row)}.")
            yield str(row[column] or "")


def _reading(name: str, config: str = "") -> AbstractContextManager[None]:
    dataset = ":".join(filter(None, (name, config)))
    return hub_errors(f"dataset {dataset!r}", f"Could not read dataset {name!r} from the Hub")
