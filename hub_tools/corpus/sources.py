"""What a --corpus value stands for: local files, datasets of the Hub, and the bundled sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hub_tools.core.errors import UserError
from hub_tools.core.files import hash_file
from hub_tools.core.hub_errors import explain_hub, without_secrets
from hub_tools.core.languages import wikipedia_code
from hub_tools.corpus.readers import FORMATS, Row, read_table, read_texts, sample_file

SAMPLE = "sample"
WIKIPEDIA = "wikimedia/wikipedia"
DEFAULT_SOURCE = f"{WIKIPEDIA}:20231101.{{lang}}"
# How many texts of a Hub dataset are held to draw from at random; streaming reads it in order otherwise.
SHUFFLE_BUFFER = 10_000


class NoSuchTextError(UserError):
    """A Hub dataset exists but has no such language."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Texts of one language from one place.

    Attributes:
        lang: language code.
        name: what to call it in messages.
        identity: plain data that changes when the content does.
        dataset: the dataset that it is streamed from, as it was asked for, or None for local text.
        revision: the commit of that dataset; None where it is not known.
        open: starts reading; yields raw texts.
    """

    lang: str
    name: str
    identity: Any
    open: Callable[[], Iterator[str]]
    dataset: str | None = None
    revision: str | None = None


def find_sources(spec: str, languages: tuple[str, ...], seed: int) -> list[Source]:
    """Find the texts that a --corpus value stands for.

    Args:
        spec: `sample`, a file (its language is the first of `languages`), a path with `{lang}`, or a Hub
            dataset `id[@revision][:config[:split[:column]]]` whose config may hold `{lang}`.
        languages: codes of the languages to find text of, the target first.
        seed: of the shuffle of streamed datasets.

    Raises:
        UserError: nothing is found for the target language, or the value makes no sense.
    """
    if spec == SAMPLE:
        return [s for lang in languages if (s := _sample_source(lang)) is not None]
    if _is_file(spec):
        return _file_sources(spec, languages)
    return _hub_sources(spec, languages, seed)


def _is_file(spec: str) -> bool:
    return spec.removesuffix(".gz").endswith(FORMATS) or Path(spec.replace("{lang}", "en")).expanduser().exists()


def _sample_source(lang: str) -> Source | None:
    files = [sample_file("languages.tsv")]
    if lang in ("tr", "en"):
        files.append(sample_file("tr-en.tsv"))
    with_text = [file for file in files if lang in _header(file)]
    if not with_text:
        return None

    def read() -> Iterator[str]:
        for file in with_text:
            yield from (row[lang] for row in read_table(file))

    identity = [SAMPLE, lang, *map(hash_file, files)]
    return Source(lang=lang, name=f"sample ({lang})", identity=identity, open=read)


def _header(file: Path) -> list[str]:
    with file.open(encoding="utf-8") as lines:
        return lines.readline().rstrip("\n").split("\t")


def _file_sources(spec: str, languages: tuple[str, ...]) -> list[Source]:
    chosen = languages if "{lang}" in spec else languages[:1]
    sources = []
    for lang in chosen:
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
    name, _, wanted = dataset.partition("@")
    if name.count("/") > 1 or " " in name or not name:
        raise UserError(
            f"--corpus {spec!r} is neither a file here nor a Hub dataset. Expected sample, a file, a path with "
            "{lang}, or id[@revision][:config[:split[:column]]]."
        )
    chosen = languages if "{lang}" in spec else languages[:1]
    revisions: dict[str, str | None] = {}
    sources = []
    for lang in chosen:
        code = wikipedia_code(lang) if name == WIKIPEDIA else lang
        parts = [part.replace("{lang}", code) for part in (name, config, split or "train", column or "text")]
        if parts[0] not in revisions:
            revisions[parts[0]] = dataset_revision(parts[0], wanted)
        revision = revisions[parts[0]]
        written = parts[0] + dataset[len(name) :]
        sources.append(
            Source(
                lang=lang,
                name=":".join(part for part in parts[:2] if part),
                # As it was written too: the report, which tells how to do the run again, names it so.
                identity=[written, *parts[1:], revision or wanted, seed],
                open=partial(_stream, *parts, revision=revision or wanted or None, seed=seed),
                dataset=written,
                revision=revision,
            )
        )
    return sources


def dataset_revision(name: str, wanted: str = "") -> str | None:
    """Return the commit of a dataset of the Hub, or the one that the cache remembers; None where nobody can tell.

    Args:
        name: its id.
        wanted: branch, tag or commit; nothing means the main branch.

    Raises:
        UserError: there is no such dataset or revision, or no access to it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        # A file that every repo has: the cache then knows the commit offline too.
        folder = snapshot_download(
            name, repo_type="dataset", revision=wanted or None, allow_patterns=[".gitattributes"]
        )
    except Exception as error:
        # Without a network nobody can tell; a Hub that answered with an error may be well again in a minute.
        if isinstance(error, LocalEntryNotFoundError) and not isinstance(error.__cause__, HfHubHTTPError):
            return None
        raise _explained(error, name, "") from error
    return Path(folder).name


def _stream(name: str, config: str, split: str, column: str, *, revision: str | None, seed: int) -> Iterator[str]:
    from datasets import load_dataset

    try:
        stream = load_dataset(name, config or None, split=split, streaming=True, revision=revision)
    except ValueError as error:
        # How datasets says that there is no such configuration or split.
        raise NoSuchTextError(f"Dataset {name!r} has no {config!r} with split {split!r}: {error}") from error
    except Exception as error:
        raise _explained(error, name, config) from error
    try:
        for row in stream.shuffle(seed=seed, buffer_size=SHUFFLE_BUFFER):
            yield _cell(row, column, name)
    except UserError:
        raise
    except Exception as error:
        raise _explained(error, name, config) from error


def _explained(error: Exception, name: str, config: str) -> UserError:
    message = explain_hub(error, f"dataset {':'.join(filter(None, (name, config)))!r}")
    return UserError(message or f"Could not read dataset {name!r} from the Hub: {without_secrets(str(error))}")


def _cell(row: Row, column: str, name: str) -> str:
    if column not in row:
        raise UserError(f"Dataset {name} has no column {column!r}; it has: {', '.join(row)}.")
    return str(row[column] or "")
