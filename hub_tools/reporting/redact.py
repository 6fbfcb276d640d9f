"""What may be shown in public: no path of the machine, as a card tells nobody how a home directory is called."""

from __future__ import annotations

import re
from glob import has_magic
from pathlib import PurePath

from hub_tools.corpus.readers import FORMATS
from hub_tools.reporting.markdown import map_texts
from hub_tools.reporting.report import FullReport


def redact_paths(value: str) -> str:
    """Return a path without its folders, as `PATH/name`, and any other text as it is.

    Several paths between commas, QUERIES,PASSAGES, stay several.
    """
    return ",".join(map(_redact_path, re.split(r",(?=/|~\w*/|[A-Za-z]:[\\/])", value)))


def _redact_path(value: str) -> str:
    if value.startswith(("/", "~")) or re.match(r"[A-Za-z]:[\\/]", value):
        return "PATH/" + re.split(r"[/\\]", value.rstrip("/"))[-1]
    return value


def redact_report(report: FullReport) -> FullReport:
    """Return a report with all its paths redacted."""
    return FullReport.from_dict(map_texts(report.to_dict(), redact_paths))


def is_path(value: str) -> bool:
    """Return whether a text source is a file, or a pattern of files, rather than a dataset of the Hub."""
    return value.startswith(("/", "~", ".")) or PurePath(value.lower()).suffix in (*FORMATS, ".gz") or has_magic(value)
