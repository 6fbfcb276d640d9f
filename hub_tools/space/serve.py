"""Open the page on this machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from hub_tools.core.errors import UserError
from hub_tools.space.content import SpaceContent

PACKAGES = ("gradio", "mcp", "pypdf")
_OWNERS_DOCUMENTS = 200_000


def check_installed(packages: tuple[str, ...] = PACKAGES) -> None:
    """Make sure that the page can be shown, before any work.

    Raises:
        UserError: a package is missing.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"The Space needs packages that are not installed ({', '.join(missing)}). Run: pip install "
            f"'hub-tools[space]'"
        )


def serve(
    content: SpaceContent, *, documents: Path | None = None, host: str | None = None, port: int | None = None
) -> None:
    """Open the page and stay until it is stopped; see `check_installed`.

    Args:
        content: the models and the report.
        documents: a file with the owner's texts, one more corpus to search.
        host: address to listen on; by default only this machine.
        port: by default the first free one from 7860.

    Raises:
        UserError: the documents hold no text.
    """
    from hub_tools.space.app import launch
    from hub_tools.space.service import Service

    launch(Service(content, read_documents(documents, content.target)), host=host, port=port)


def read_documents(file: Path | None, lang: str) -> list[str]:
    """Return the owner's texts, each once.

    Raises:
        UserError: there is no text, or more than the page can hold.
    """
    from hub_tools.corpus.readers import read_texts

    if file is None:
        return []
    texts = list(dict.fromkeys(text.strip() for text in read_texts(file, lang) if text.strip()))
    if not 0 < len(texts) <= _OWNERS_DOCUMENTS:
        raise UserError(f"--documents {file} holds {len(texts):,} texts. Expected 1 to {_OWNERS_DOCUMENTS:,}.")
    return texts
