"""Open the page on this machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from hub_tools.core.errors import UserError
from hub_tools.space.content import SpaceContent

PACKAGES = ("gradio", "mcp", "pypdf")
_OWNERS_DOCUMENTS = 200_000


def check_installed(packages: tuple[str, ...] = PACKAGES) -> None:
    """Raise a UserError, before any work, if a package is missing without which the page cannot be shown."""
    missing = ", ".join(name for name in packages if importlib.util.find_spec(name) is None)
    if missing:
        raise UserError(
            f"The Space needs packages that are not installed ({missing}). Run: pip install 'hub-tools[space]'"
        )


def serve(
    content: SpaceContent, *, documents: Path | None = None, host: str | None = None, port: int | None = None
) -> None:
    """Open the page and stay until it is stopped; see `check_installed`, and `app.launch` for host and port.

    `documents` is a file with the owner's texts, one more corpus to search.

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
