"""Plain data and files: hashes, readers, and files that are never seen half-written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.plain import from_plain

T = TypeVar("T")
# What to do about a damaged file, where nobody says more.
_CURE = "Restore it, or delete what it belongs to and make or fetch that again."
# Key of the checksum of what else a file holds.
_SEAL = "checksum"
# Bytes of a file of options, and a name in it of many parts between points, bare or in quotation marks.
_LARGEST_TOML = 1_000_000
_LONG_NAME = re.compile(r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){50}""")


def digest(value: Any) -> str:
    """Return a short hash of plain data (SHA-256, 16 hexadecimal digits)."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits as `sha256sum` prints them."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file so that it is never seen half-written."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; the file gets its own name only when it is complete and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    yield partial
    fsync_file(partial)
    partial.replace(path)


def fsync_file(file: Path) -> None:
    """Bring a file to the disk: after a power cut, a name must not be there without its content."""
    with file.open("rb+") as opened:  # some systems bring only what may be written to the disk
        os.fsync(opened.fileno())


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that it is never seen half-written."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return JSON as `write_json` writes it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_json(path: Path, cure: str = _CURE) -> Any:
    """Read a JSON file; one that is missing or damaged is a UserError that names it, and `cure` says what to do."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Could not read {path}: {error.strerror}. {cure}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}. {cure}") from error


def read_as(kind: type[T], path: Path, cure: str = _CURE) -> T:
    """Read a JSON file as a dataclass or another type, see `from_plain`; what does not fit is a UserError too."""
    value = read_json(path, cure)
    try:
        return from_plain(kind, value)
    except (ValueError, OverflowError, UsageError) as error:
        raise UserError(f"{path} is damaged: {error}. {cure}") from error


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """Write plain data with a checksum of itself, see `read_sealed`."""
    write_json(path, {**value, _SEAL: _seal(value)})


def read_sealed(kind: type[T], path: Path, cure: str) -> T:
    """Read what `write_sealed` wrote as a dataclass; a UserError says that it is not as it was written."""
    value = read_json(path, cure)
    reason = "it is not as hub-distill wrote it"
    try:
        if isinstance(value, dict) and value.pop(_SEAL, None) == _seal(value):
            return from_plain(kind, value)
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise UserError(f"{path} is damaged: {reason}. {cure}")


def _seal(value: dict[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def user_path(name: str) -> Path:
    """Return the path that a user named; `~` is the home directory, and a name that no file can have a UserError."""
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser fails where there is no such user
    try:
        path.exists()
    except OSError as error:
        raise UserError(f"{name[:80]!r} can be no file: {error.strerror}.") from error
    return path


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file that the user named; it is a UsageError if it is missing, cannot be read or is not TOML."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_TOML + 1)
        if len(content) > _LARGEST_TOML:
            raise UsageError(f"{path} has more than {_LARGEST_TOML:,} bytes. Expected a file of options in TOML.")
        text = content.decode("utf-8-sig")  # Windows' editors put a byte order mark before a text
        # A name of n parts takes tomllib n * n of memory.
        if _LONG_NAME.search(text):
            raise UsageError(f"{path} is not valid TOML: a name has too many parts. Expected section.option at most.")
        return tomllib.loads(text)
    except FileNotFoundError as error:
        raise UsageError(f"No configuration file {path}.") from error
    except (ValueError, RecursionError) as error:  # also a number of 5,000 digits, lists in lists in lists
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    except OSError as error:
        raise UsageError(f"Could not read the configuration file {path}: {error.strerror}.") from error
