"""`hub-distill publish`: a finished run on the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hub_tools.cli.base import OUTPUT_OPTIONS, command_line_options
from hub_tools.options import OPTIONS, click_options, nest

_OWN = {option.name for option in OPTIONS if option.section == "publish"}


def _publish(run: Path, *, dry_run: bool, check: bool, **options: Any) -> None:
    """Publish a finished RUN on the Hub.

    That is model, tokenizer and the teacher's vectors, each with its card. The dataset holds the texts of the run.
    Leave it out with --only model --only tokenizer where they are not yours to publish.
    """
    from hub_tools.hub import publish as hub

    # An option that was not given stays as the run has it.
    changes = nest(command_line_options(click.get_current_context(), options)).get("publish", {})
    if dry_run:
        click.echo(hub.plan_push(run, changes))
    elif check:
        click.echo("\n".join(f"may be written: {repo_id}" for repo_id in hub.check(run, changes)))
    else:
        click.echo("\n".join(hub.publish(run, changes)))


publish = click.Command(
    "publish",
    params=[
        click.Argument(["run"], type=click.Path(path_type=Path)),
        *(option for option in click_options(_OWN) if not option.hidden),
        click.Option(["--dry-run"], is_flag=True, help="List every file with its size and change nothing."),
        click.Option(
            ["--check"], is_flag=True, help="Only check that you may write to the repos; RUN need not exist yet."
        ),
        *OUTPUT_OPTIONS,
    ],
    callback=_publish,
    help=_publish.__doc__,
)
