"""`hub-distill jobs`: the whole job on a machine of Hugging Face Jobs."""

from __future__ import annotations

import shlex

import click

from hub_tools.cli.base import command_line_options, configure
from hub_tools.options import click_options


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="OPTIONS_OF_HUB_DISTILL...")
@click.option("--flavor", metavar="NAME", help="Hardware, see `hf jobs hardware`. [default: a10g-small]")
@click.option("--timeout", metavar="TIME", help="Longest time, e.g. 6h. [default: 12h]")
@click.option("--submit", is_flag=True, help="Submit the job; without it the command is only printed.")
@click.option("--dry-run", is_flag=True, help="Let `hf` check the job without submitting it.")
def jobs(options: tuple[str, ...], flavor: str | None, timeout: str | None, *, submit: bool, dry_run: bool) -> None:
    """Do the whole job on a machine of Hugging Face Jobs.

    OPTIONS are those of hub-distill. hub-distill jobs --teacher google/embeddinggemma-300m --lang tr --push-to-hub
    NAMESPACE prints the command; --submit runs it. With --executor jobs, other Jobs compute the vectors.
    """
    from hub_tools.hub import jobs as remote

    # All but the run folder, and the options that are about files and finished stages of this machine.
    known = [param for param in click_options() if param.name != "output"]
    context = click.Command("hub-distill", params=list(known)).make_context("hub-distill jobs", list(options))
    remote.check_remote(configure(command_line_options(context, context.params)))
    command = remote.job_command(options, flavor=flavor, timeout=timeout)
    click.echo(shlex.join(["hf", *command]))
    if dry_run:
        remote.run_hf([*command[:4], "--dry-run", *command[4:]])
    elif submit:
        remote.run_hf(command)
