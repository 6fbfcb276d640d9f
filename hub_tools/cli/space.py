"""The Space on this machine: of a run folder, of the demo's run, or of a published Space's folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from hub_tools.cli.base import tune_process
from hub_tools.core.errors import HubToolsError, explain

_PATH = click.Path(path_type=Path)
# A variable in the settings of a Space: the id of the student to show.
_STUDENT = "HUB_TOOLS_STUDENT"


@click.command()
@click.argument("run", type=_PATH)
@click.option(
    "--documents",
    type=_PATH,
    metavar="FILE",
    help="Your own texts to search in, one more corpus (formats: --corpus).",
)
@click.option("--host", metavar="ADDRESS", help="Address to listen on. [default: this machine only]")
@click.option("--port", type=int, metavar="N", help="[default: the first free one from 7860]")
def space(run: Path, documents: Path | None, host: str | None, port: int | None) -> None:
    """Open a page that shows a finished RUN.

    It compares teacher and student: tokens, search, similarity and results. It needs extra packages: pip install
    'hub-tools[space]'.
    """
    show(run, documents=documents, host=host, port=port)


def show(run: Path, *, documents: Path | None = None, host: str | None = None, port: int | None = None) -> None:
    """Serve the page of a run until it is stopped; arguments as for `hub_tools.space.serve.serve`."""
    from hub_tools.space.content import from_run
    from hub_tools.space.serve import check_installed, serve

    check_installed()
    serve(from_run(run), documents=documents, host=host, port=port)


def open_space(folder: Path) -> None:
    """Serve the page of a Space's folder until it is stopped; its app.py calls this.

    It shows the student that the variable HUB_TOOLS_STUDENT names, one published with its Space; or the models that
    space.json in the folder names; or else the demo's run, which is finished first (a few minutes, in which the page
    says so).
    """
    from hub_tools import pipeline
    from hub_tools.core.logging import setup_logging
    from hub_tools.demo import demo_config
    from hub_tools.reporting.space_settings import SETTINGS_FILE
    from hub_tools.space.content import from_hub, from_settings
    from hub_tools.space.serve import check_installed, serve
    from hub_tools.space.waiting import waiting_page

    setup_logging()
    try:
        check_installed()
        if student := os.environ.get(_STUDENT, "").strip():
            serve(from_hub(student))
        elif (folder / SETTINGS_FILE).exists():
            serve(from_settings(folder))
        else:
            run = Path("demo-run")
            tune_process()
            with waiting_page():
                pipeline.run(demo_config(run))
            show(run)
    except HubToolsError as error:
        sys.exit(f"Error: {explain(error)}")
