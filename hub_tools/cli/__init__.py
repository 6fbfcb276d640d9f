"""The command line: parse, call, print."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from hub_tools.cli.base import HELP_ALL, OUTPUT_OPTIONS, RUN_OPTIONS, WholeJob, command_line_options
from hub_tools.cli.export import export
from hub_tools.cli.fertility import fertility
from hub_tools.cli.jobs import jobs
from hub_tools.cli.merge import merge
from hub_tools.cli.publish import publish
from hub_tools.cli.report import report
from hub_tools.cli.space import space
from hub_tools.cli.stages import STAGES, demo, run_until, stage_command
from hub_tools.cli.terminal import STOPPED, open_missing_streams, stop_on_interrupt
from hub_tools.core.distributed import is_main_process
from hub_tools.core.errors import UsageError, explain
from hub_tools.core.logging import setup_logging
from hub_tools.core.terminal import paint
from hub_tools.options import click_options

_EXAMPLES = """\b
Examples:
  hub-distill demo
  hub-distill --teacher ID_OR_DIR --lang tr --parallel en-tr.tsv
  hub-distill publish RUN --push-to-hub NAMESPACE --dry-run

hub-distill --help-all shows every option, hub-distill COMMAND --help those of a command.
"""


def _whole_job(**options: Any) -> None:
    """Give a language its own sentence-embedding model.

    --teacher and --lang do the whole job; each command does a part of it.
    """
    context = click.get_current_context()
    context.obj = command_line_options(context, options)
    if context.obj and context.invoked_subcommand not in (None, *STAGES):
        raise UsageError(f"Options of {context.invoked_subcommand} stand after its name.")
    if context.invoked_subcommand is None:
        if context.obj:
            run_until("publish", context.obj)
        else:
            click.echo(context.get_help())


main = WholeJob(
    "hub-distill",
    params=[*click_options(), *RUN_OPTIONS, HELP_ALL],
    callback=_whole_job,
    help=_whole_job.__doc__,
    epilog=_EXAMPLES,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
click.version_option(package_name="hub-tools")(main)
for command in (report, space, export, fertility, jobs):
    command.params += OUTPUT_OPTIONS  # as those of a run have
for command in (*map(stage_command, STAGES), report, space, publish, export, merge, fertility, jobs, demo):
    main.add_command(command)


def run() -> None:
    """Entry point of `hub-distill` and `hf-distill`: errors become one sentence and an exit code."""
    name = "hf distill" if Path(sys.argv[0]).name.startswith("hf-distill") else "hub-distill"
    open_missing_streams()
    stop_on_interrupt()
    setup_logging(quiet=not is_main_process())
    try:
        main(prog_name=name, standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo(STOPPED, err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except BaseException as error:  # a panic in Rust code is no Exception
        message = explain(error)
        if message is None:
            raise
        click.echo(f"{paint('Error:', 'red', sys.stderr)} {message}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)
