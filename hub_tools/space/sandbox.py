"""Data from outside is read in a process of its own: bounded in time and memory, without anything of the owner's.

A PDF may unpack to gigabytes, a tokenizer may hold an expression that never ends, a dataset may hang: then the process
ends, and the page does not. It works in an empty folder that is also its home: no token of the Hub, no cached private
repo and no file that lies beside the page can be named in it. The folder goes with the process.
"""

from __future__ import annotations

import json
import logging
import os
import re
import site
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from hub_tools.core.errors import UserError
from hub_tools.core.hub_errors import is_unreachable
from hub_tools.corpus.readers import text_column
from hub_tools.corpus.sources import DATASET_READERS, own_files_alone
from hub_tools.space.limits import DOCUMENTS, RefusedError, limit_texts

if TYPE_CHECKING:
    from hub_tools.space.tokenize import TokenizerView

log = logging.getLogger(__name__)

SECONDS = 40
AT_ONCE = 4
_PLACES = threading.BoundedSemaphore(AT_ONCE)
_MEMORY = 4 * 2**30
_DOWNLOAD = 100_000_000  # bytes of a file that is written
_ANSWER = 20_000_000  # bytes
_TOKENIZER = 60 * 2**20  # bytes of a tokenizer.json
_PAGES = 300
_ID = re.compile(r"(?=.{1,96}$)(?!.*(--|\.\.))[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
# What reading needs; above all not HF_TOKEN and HF_HUB_CACHE, with which visitors could read what is private.
_KEPT = re.compile(r"PATH|LANG|LC_\w+|SYSTEMROOT|SSL_\w+|\w+_PROXY|\w+_proxy|HF_(ENDPOINT|HUB_OFFLINE|HUB_\w+_TIMEOUT)")
# This very package, wherever it lies, without a folder on the path from which other modules would be taken too.
_START = """
import importlib.util, sys
init, task = sys.argv[1:]
spec = importlib.util.spec_from_file_location("hub_tools", init)
sys.modules["hub_tools"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
from hub_tools.space.sandbox import main
main(task)
"""


def check_id(repo: str) -> str:
    """Return an id of the Hub, owner/name, which is never a path of this machine or the name of a reader.

    Raises:
        RefusedError: it is not an id.
    """
    repo = repo.strip()
    if not _ID.fullmatch(repo):
        raise RefusedError("error_id", id=repo[:100])
    return repo


def run_sandboxed(task: Literal["compare", "count", "dataset", "pdf"], **arguments: Any) -> Any:
    """Run a function of this module, with plain data, in a process of its own and return its result.

    At most `AT_ONCE` run at once, whatever asks for them.

    Raises:
        RefusedError: it could not be done, with the reason.
    """
    if not _PLACES.acquire(timeout=SECONDS):
        raise RefusedError("error_busy")
    try:
        with TemporaryDirectory(prefix="hub-tools-visit-", ignore_cleanup_errors=True) as folder:
            process = _start(task, json.dumps(arguments).encode(), folder)
    except subprocess.TimeoutExpired as error:
        raise RefusedError("error_time", seconds=SECONDS) from error
    finally:
        _PLACES.release()
    if process.returncode != 0 or len(process.stdout) > _ANSWER:
        log.warning("A %s ended with %d: %s", task, process.returncode, process.stderr[-2000:].decode(errors="replace"))
        raise RefusedError("error_sandbox")
    answer = json.loads(process.stdout)
    if "refused" in answer:
        key, values = answer["refused"]
        raise RefusedError(key, **values)
    return answer["result"]


def _start(task: str, request: bytes, folder: str) -> subprocess.CompletedProcess[bytes]:
    environment = {k: v for k, v in os.environ.items() if _KEPT.fullmatch(k)} | {
        **dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "HF_HOME", "XDG_CACHE_HOME"), folder),
        "PYTHONUSERBASE": site.getuserbase(),  # packages installed with --user are found without the owner's home
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    # -P: neither the working directory nor PYTHONPATH, which is not kept, decides which modules are imported.
    command = [sys.executable, "-P", "-c", _START, str(Path(__file__).parents[1] / "__init__.py"), task]
    return subprocess.run(  # noqa: S603 - our own module, and what visitors say comes over stdin
        command, input=request, env=environment, cwd=folder, capture_output=True, timeout=SECONDS, check=False
    )


@contextmanager
def _refusing(key: str, **values: object) -> Iterator[None]:
    """Refuse with a reason: libraries raise bare exceptions for what they cannot read."""
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:
        raise RefusedError("error_hub_offline" if is_unreachable(error) else key, **values) from error


def _compare(text: str, first: str, second: str) -> Any:
    """Return `tokenize.compare` of two tokenizers, see `_tokenizer`."""
    from hub_tools.space.tokenize import compare

    with _refusing("error_tokenizer", id=_ids(first, second)):
        return compare(text, _tokenizer(first), _tokenizer(second))


def _count(tokenizer: str) -> Any:
    """Return `tokenize.count_languages` of a tokenizer, see `_tokenizer`."""
    from hub_tools.space.tokenize import count_languages

    with _refusing("error_tokenizer", id=_ids(tokenizer)):
        return count_languages(_tokenizer(tokenizer))


def _tokenizer(name: str) -> TokenizerView:
    """Read a tokenizer from a folder that the server chose, or of `hub:ID`."""
    from hub_tools.models.tokenizer import read_model_tokenizer
    from hub_tools.space.tokenize import TokenizerView
    from hub_tools.tokenization.tokenizer_json import TokenizerSpec

    repo = name.removeprefix("hub:")
    return TokenizerView(read_model_tokenizer(Path(name)) if repo == name else TokenizerSpec.read(_fetch(repo)))


def _ids(*names: str) -> str:
    return ", ".join(name.removeprefix("hub:") for name in names if name.startswith("hub:"))


def _fetch(repo: str) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    check_id(repo)
    name = "tokenizer.json"
    with _refusing("error_hub_tokenizer", id=repo):
        size = get_hf_file_metadata(hf_hub_url(repo, name), token=False).size
        if (size or 0) > _TOKENIZER:
            raise RefusedError("error_large", megabytes=_TOKENIZER // 2**20)
        hf_hub_download(repo, "tokenizer_config.json", token=False)
        return Path(hf_hub_download(repo, name, token=False)).parent


def _dataset(repo: str, config: str, split: str, column: str) -> list[str]:
    from datasets import load_dataset_builder

    check_id(repo)
    with _refusing("error_dataset", id=repo):
        try:
            with own_files_alone(repo, f"hf://datasets/{repo}@"):
                builder = load_dataset_builder(f"hf://datasets/{repo}", config or None, token=False)
        except UserError as error:
            raise RefusedError("error_dataset_files", id=repo) from error
        if builder.__module__.rpartition(".")[2] not in DATASET_READERS:
            raise RefusedError("error_dataset_kind", id=repo)
        dataset = builder.as_streaming_dataset(split=split or "train")
        # Undecoded: a cell of an image or a sound may name any file.
        rows = iter(dataset.decode(False) if dataset.features else dataset)
        first = next(rows, {"text": ""})
        strings = (name for name, value in first.items() if isinstance(value, str))
        column = column or text_column(first) or next(strings, "text")
        if column not in first:
            raise RefusedError("error_column", id=repo, columns=", ".join(map(str, first))[:200])
        return limit_texts(str(row[column] or "") for row in islice(chain([first], rows), DOCUMENTS))


def _pdf(file: str) -> list[str]:
    from pypdf import PdfReader

    with _refusing("error_pdf"):
        pages = (page.extract_text() for page in PdfReader(file).pages[:_PAGES])
        return limit_texts(part for text in pages for part in re.split(r"\n\s*\n|(?<=[.!?…])\s*\n", text))


def _limit() -> None:
    """Bound what this process may use, where the system can."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_DOWNLOAD, _DOWNLOAD))


def main(task: str) -> None:
    """Answer one question with JSON: it is read from stdin and written to stdout."""
    _limit()
    functions: dict[str, Callable[..., Any]] = {
        "compare": _compare,
        "count": _count,
        "dataset": _dataset,
        "pdf": _pdf,
    }
    arguments = json.load(sys.stdin)
    # Libraries print to stdout too; the answer is the only thing that may stand there.
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        answer = {"result": functions[task](**arguments)}
    except RefusedError as refusal:
        answer = {"refused": [refusal.key, {k: str(v) for k, v in refusal.values.items()}]}
    json.dump(answer, out)
