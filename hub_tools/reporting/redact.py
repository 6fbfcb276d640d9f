"""What may be shown in public: no path of the machine, as a card tells nobody how a home directory is called."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any, TypeVar

from hub_tools.corpus.readers import FORMATS
from hub_tools.reporting.report import Report

R = TypeVar("R", bound=Report)


def redact_paths(value: str) -> str:
    """Return a path without its folders, as `PATH/name`, and any other text as it is."""
    if value.startswith(("/", "~")) or re.match(r"[A-Za-z]:[\\/]", value):
        return "PATH/" + re.split(r"[/\\]", value.rstrip("/"))[-1]
    return value


def redact_report(report: R) -> R:
    """Return a report with all its paths redacted."""
    redacted: dict[str, Any] = _redact(report.to_dict())
    return type(report).from_dict(redacted)


def _redact(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _redact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_redact(item) for item in value]
    return redact_paths(value) if isinstance(value, str) else value


def is_path(value: str) -> bool:
    """Return whether a text source is a file rather than a dataset of the Hub."""
    return value.startswith(("/", "~", ".")) or PurePath(value).suffix in (*FORMATS, ".gz")
