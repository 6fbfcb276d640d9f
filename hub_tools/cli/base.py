"""What commands share: help in groups, options of every run, and the way from words to a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hub_tools.config import RunConfig
from hub_tools.core.errors import UsageError
from hub_tools.options import COMMON, OPTIONS, nest

# Options of the job that are shown under a title of their own.
_TITLES = {option.name: option.group for option in OPTIONS if option.name not in COMMON}


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
            record = param.get_help_record(ctx)
            if record is not None:
                groups.setdefault(_TITLES.get(str(param.name), "What everyone needs"), []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


class GroupedGroup(click.Group, GroupedCommand):
    """A group of commands, in the order of the job, whose help shows options under the titles of their groups."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)


# Options of a run that are about this command, not about the result.
RUN_OPTIONS = (
    click.Option(["--config", "config_file"], metavar="FILE", help="TOML file with options; those given here win."),
    click.Option(
        ["--resume/--fresh"], default=True, help="Use finished stages again, or begin from the start. [default: resume]"
    ),
    click.Option(["--dry-run"], is_flag=True, help="Print the plan and change nothing."),
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
