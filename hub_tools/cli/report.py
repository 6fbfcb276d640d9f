"""`hub-distill report`: what a finished run came to."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hub_tools.reporting.report import Report


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def report(run: Path, *, as_json: bool) -> None:
    """Show the results of a finished RUN again."""
    from hub_tools.core.run_record import read_record
    from hub_tools.reporting.report import read_report
    from hub_tools.reporting.students import read_students

    is_several = bool(read_record(run).students)
    print_report(read_students(run) if is_several else read_report(run, ()), run, as_json=as_json)


def print_report(report: Report, run: Path, *, as_json: bool) -> None:
    """Print what a run came to: of the whole job in words, or of any stages as JSON; warnings go to stderr."""
    from hub_tools.core.files import json_text
    from hub_tools.core.logging import log
    from hub_tools.core.terminal import paint
    from hub_tools.reporting.report import FullReport
    from hub_tools.reporting.students import students_data, students_text
    from hub_tools.reporting.summary import summary_data, summary_text
    from hub_tools.reporting.text import report_warnings

    if report.students and as_json:
        click.echo(json_text(students_data(report, run)), nl=False)
    elif report.students:
        click.echo(students_text(report, run, partial(paint, stream=sys.stdout)))
    elif as_json:
        click.echo(json_text(summary_data(report, run)), nl=False)
    elif isinstance(report, FullReport):
        click.echo(summary_text(report, run, partial(paint, stream=sys.stdout)))
        for warning in report_warnings(report):
            log.warning("Warning: %s", warning)
