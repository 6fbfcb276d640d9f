"""Data from outside is read in a process of its own: bounded in time and memory, and without tokens of the Hub.

    python -m hub_tools.space.sandbox compare|dataset|pdf ARGUMENTS_AS_JSON

A PDF may unpack to gigabytes, a tokenizer may hold an expression that never ends, a dataset may hang: then the process
ends, and the page does not.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from hub_tools.corpus.readers import text_column
from hub_tools.space.limits import DOCUMENTS, RefusedError, limit_texts

SECONDS = 40
_MEMORY = 4 * 2**30
_ANSWER = 20_000_000  # bytes
_TOKENIZER = 60_000_000  # bytes of a tokenizer.json
_PAGES = 300
_ID = re.compile(r"(?=.{1,96}$)(?!.*(--|\.\.))[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
# What reading needs; above all not HF_TOKEN, with which visitors could read what is private.
_KEPT = re.compile(r"PATH|LANG|LC_\w+|HOME|TMPDIR|SYSTEMROOT|SSL_\w+|\w+_PROXY|\w+_proxy|HF_(ENDPOINT|HOME|HUB_\w+)")


def check_id(repo: str) -> str:
    """Return an id of the Hub, which is never a path of this machine.

    Raises:
        RefusedError: it is not an id.
    """
    repo = repo.strip()
    if not _ID.fullmatch(repo) or Path(repo).exists():
        raise RefusedError("error_id", id=repo[:100])
    return repo


def run_sandboxed(task: Literal["compare", "dataset", "pdf"], **arguments: Any) -> Any:
    """Run a function of this module, with plain data, in a process of its own and return its result.

    Callers limit how many run at once: see `api.SANDBOXED`.

    Raises:
        RefusedError: it could not be done, with the reason.
    """
    environment = {k: v for k, v in os.environ.items() if _KEPT.fullmatch(k)} | {
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-m", "hub_tools.space.sandbox", task]
    request = json.dumps(arguments).encode()
    try:
        process = subprocess.run(  # noqa: S603 - our own module, and what visitors say comes over stdin
            command, input=request, env=environment, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RefusedError("error_time", seconds=SECONDS) from error
    if process.returncode != 0 or len(process.stdout) > _ANSWER:
        raise RefusedError("error_sandbox")
    answer = json.loads(process.stdout)
    if "refused" in answer:
        key, values = answer["refused"]
        raise RefusedError(key, **values)
    return answer["result"]


@contextmanager
def _refusing(key: str, **values: object) -> Iterator[None]:
    """Refuse with a reason: libraries raise bare exceptions for what they cannot read."""
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:
        raise RefusedError(key, **values) from error


def _compare(text: str, first: str, second: str) -> Any:
    """Return `tokenize.compare` of two tokenizers, each a folder that the server chose or `hub:ID`."""
    from hub_tools.models.tokenizer import read_model_tokenizer
    from hub_tools.space.tokenize import TokenizerView, compare
    from hub_tools.tokenization.tokenizer_json import TokenizerSpec

    def view(name: str) -> TokenizerView:
        repo = name.removeprefix("hub:")
        return TokenizerView(read_model_tokenizer(Path(name)) if repo == name else TokenizerSpec.read(_fetch(repo)))

    ids = [name.removeprefix("hub:") for name in (first, second) if name.startswith("hub:")]
    with _refusing("error_tokenizer", id=", ".join(ids)):
        return compare(text, view(first), view(second))


def _fetch(repo: str) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    check_id(repo)
    name = "tokenizer.json"
    with _refusing("error_hub_tokenizer", id=repo):
        online = os.environ.get("HF_HUB_OFFLINE") != "1"
        size = get_hf_file_metadata(hf_hub_url(repo, name), token=False).size if online else 0
        if (size or 0) > _TOKENIZER:
            raise RefusedError("error_large", bytes=f"{_TOKENIZER:,}")
        hf_hub_download(repo, "tokenizer_config.json", token=False)
        return Path(hf_hub_download(repo, name, token=False)).parent


def _dataset(repo: str, config: str, split: str, column: str) -> list[str]:
    from datasets import load_dataset

    check_id(repo)
    with _refusing("error_dataset", id=repo):
        rows = iter(load_dataset(repo, config or None, split=split or "train", streaming=True, token=False))
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


def main() -> None:
    """Answer one question with JSON."""
    _limit()
    functions: dict[str, Callable[..., Any]] = {"compare": _compare, "dataset": _dataset, "pdf": _pdf}
    arguments = json.load(sys.stdin)
    # Libraries print to stdout too; the answer is the only thing that may stand there.
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        answer = {"result": functions[sys.argv[1]](**arguments)}
    except RefusedError as refusal:
        answer = {"refused": [refusal.key, {k: str(v) for k, v in refusal.values.items()}]}
    json.dump(answer, out)


if __name__ == "__main__":
    main()
