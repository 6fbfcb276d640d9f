"""Open a Space on this machine: of a run folder, of the demo's run, or of a published Space's folder."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from hub_tools.core.errors import HubToolsError, UserError, explain
from hub_tools.space.content import SETTINGS, Shown, from_run, from_settings
from hub_tools.space.vector_cache import default_folder

_NEEDED = ("gradio", "mcp", "faiss", "pypdf")
_OWNERS_DOCUMENTS = 200_000


def check_installed() -> None:
    """Make sure that the page can be shown, before any work.

    Raises:
        UserError: a package is missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"The Space needs packages that are not installed ({', '.join(missing)}). Run: pip install "
            f"'hub-tools[space]'"
        )


def serve(shown: Shown, *, documents: Path | None = None, host: str | None = None, port: int | None = None) -> None:
    """Open the page and stay until it is stopped.

    Args:
        shown: the models.
        documents: a file with texts of one's own to search, one more corpus.
        host: address to listen on; by default only this machine.
        port: by default the first free one from 7860.

    Raises:
        UserError: a package is missing, or the documents hold no text.
    """
    check_installed()
    from hub_tools.space.app import launch
    from hub_tools.space.service import Service

    launch(Service(shown, default_folder(), read_documents(documents, shown.target)), host=host, port=port)


def read_documents(file: Path | None, lang: str) -> list[str]:
    """Texts of the owner, each once.

    Raises:
        UserError: there is no text, or more than the page can hold.
    """
    from hub_tools.corpus.readers import read_texts

    if file is None:
        return []
    found = list(dict.fromkeys(text.strip() for text in read_texts(file, lang) if text.strip()))
    if not 0 < len(found) <= _OWNERS_DOCUMENTS:
        raise UserError(f"--documents {file} holds {len(found):,} texts. Expected 1 to {_OWNERS_DOCUMENTS:,}.")
    return found


def main(folder: Path) -> None:
    """What app.py of a Space does: show the models that space.json beside it names, or else the demo's run.

    The demo's run is made when it is not there, which takes some minutes.

    Args:
        folder: where app.py lies.
    """
    try:
        check_installed()
        serve(from_settings(folder) if (folder / SETTINGS).exists() else from_run(make_demo(Path("demo-run"))))
    except HubToolsError as error:
        sys.exit(f"Error: {explain(error)}")


def make_demo(run: Path) -> Path:
    """The run of `hub-distill demo`; made where it is not finished."""
    from hub_tools.core.run_dir import check_finished

    try:
        check_finished(run)
    except UserError:
        from hub_tools import pipeline
        from hub_tools.demo import demo_config

        pipeline.run(demo_config(run))
    return run
