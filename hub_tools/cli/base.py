"""What commands share: help in groups, options of every run, and the way from words to a configuration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from hub_tools.config import RunConfig
from hub_tools.core.errors import UsageError
from hub_tools.core.logging import hide_progress, show_from
from hub_tools.options import COMMON, OPTIONS, nest

_COMMON, _RUN = "What everyone needs", "This run"
# Titles of options in help texts; those that are no option of the job are about this run.
_TITLES = {option.name: _COMMON if option.name in COMMON else option.group for option in OPTIONS}
_EVERYTHING = "hub_tools.cli.everything"


class GroupedCommand(click.Command):
    """A command whose help shows options under the titles of their groups."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words; a file that no option takes is what a shell makes of a pattern without quotation marks."""
        takes_more, ctx.allow_extra_args = ctx.allow_extra_args, True
        rest = super().parse_args(ctx, args)
        if rest and rest[0] not in getattr(self, "commands", {}) and Path(rest[0]).exists():
            raise UsageError(
                f"No option takes {rest[0]!r}. Put a pattern between quotation marks (--corpus 'data/*.txt'), or give "
                "the option once for each file (--corpus a.txt --corpus b.txt)."
            )
        if rest and not takes_more:
            ctx.fail(f"Got unexpected extra arguments ({' '.join(rest)}).")
        return rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = self.help_record(param, ctx)
            if record is not None:
                groups.setdefault(_TITLES.get(str(param.name), _RUN), []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def help_record(self, param: click.Parameter, ctx: click.Context) -> tuple[str, str] | None:
        """Return an option as help texts write it, and what it is for; None for one that they leave out."""
        return param.get_help_record(ctx)


class WholeJob(click.Group, GroupedCommand):
    """The command of the whole job: its help has what everyone needs in short, or everything, and the commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of the job."""
        return list(self.commands)

    def help_record(self, param: click.Parameter, ctx: click.Context) -> tuple[str, str] | None:
        """Return an option; in short, only what everyone needs."""
        record = super().help_record(param, ctx)
        if record is None or ctx.meta.get(_EVERYTHING) or param.name not in _TITLES:
            return record
        return (record[0], COMMON[str(param.name)]) if param.name in COMMON else None


def _show_everything(ctx: click.Context, _: click.Parameter, *, value: bool) -> None:
    if value:
        ctx.meta[_EVERYTHING] = True
        click.echo(ctx.get_help())
        ctx.exit()


HELP_ALL = click.Option(
    ["--help-all"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, param, value: _show_everything(ctx, param, value=value),
    help="Show every option and exit.",
)


def _switch(flags: list[str], text: str, work: Callable[[], None]) -> click.Option:
    """Return an option that does something at once, on whichever command it stands."""

    def callback(_: click.Context, __: click.Parameter, value: bool) -> None:
        if value:
            work()

    return click.Option(flags, is_flag=True, expose_value=False, callback=callback, help=text)


# What a command says while it works.
OUTPUT_OPTIONS = (
    _switch(["-q", "--quiet"], "Show only warnings and the result.", lambda: show_from(logging.WARNING)),
    _switch(["-v", "--verbose"], "Show more.", lambda: show_from(logging.DEBUG)),
    _switch(["--no-progress"], "Show no progress bars.", hide_progress),
)
AS_JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON and nothing else.")


# Options of a run that are about this command, not about the result.
RUN_OPTIONS = (
    click.Option(["--config", "config_file"], metavar="FILE", help="TOML file with options; the command line wins."),
    click.Option(["--resume/--fresh"], default=True, help="Reuse finished stages, or start over. [default: resume]"),
    click.Option(["--dry-run"], is_flag=True, help="Print the plan and change nothing."),
    AS_JSON,
    *OUTPUT_OPTIONS,
)


def tune_process() -> None:
    """Set what a program may set for the whole process: quiet libraries, and memory that is kept for the next step."""
    from hub_tools.core.hardware import keep_freed_memory
    from hub_tools.core.logging import quiet_libraries

    quiet_libraries()
    keep_freed_memory()


def command_line_options(context: click.Context, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the options that were given on the command line."""
    source = click.core.ParameterSource.COMMANDLINE
    return {name: value for name, value in options.items() if context.get_parameter_source(name) is source}


def configure(options: Mapping[str, Any]) -> RunConfig:
    """Build the configuration from the options that were given, by name; `config_file` names a file with more.

    Raises:
        UsageError: an option is missing, unknown or wrong.
    """
    file, values = options.get("config_file"), nest(options)
    return RunConfig.from_toml(Path(file), values) if file else RunConfig.from_dict(values)
