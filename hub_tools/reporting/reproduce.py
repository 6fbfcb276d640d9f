"""The command that does a run again, as it may be shown in public."""

from __future__ import annotations

import shlex
from typing import Any

import tomli_w

from hub_tools.core.plain import to_plain
from hub_tools.corpus.sources import DEFAULT_SOURCE
from hub_tools.options import OPTIONS, Option
from hub_tools.reporting.redact import redact_paths
from hub_tools.reporting.report import FullReport


def reproduce(report: FullReport) -> tuple[str, str]:
    """Return the command that does the run again, and the file it needs for settings without a flag (or "").

    What is on the Hub is named with the commits that the run used; folders of the machine are written as PATH.
    """
    words, settings = ["hub-distill"], dict[str, dict[str, Any]]()
    for option in OPTIONS:
        value = _pinned(report, option)
        if value == option.default or option.section == "publish" or option.name == "output":
            continue
        if option.flag is None:
            settings.setdefault(option.section, {})[option.key] = to_plain(value)
        else:
            words += map(redact_paths, option.words(value)) if option.may_be_local else option.words(value)
    words += ["--config", "run.toml"] if settings else []
    return shlex.join(words), tomli_w.dumps(settings).rstrip()


def _pinned(report: FullReport, option: Option) -> Any:
    """Return the value of an option; what is on the Hub is named with its commit."""
    value = option.of(report.config)
    if option.name == "teacher":
        # The bundled teacher is found on the Hub by those who do not have its package.
        return report.teacher.spec if report.teacher.revision else report.teacher.hub_id or report.teacher.spec
    if option.name == "tokenizer":
        return _with_commit(value, report.tokenizer.revision)
    if option.name == "embeddings" and report.embeddings.taken_from:
        return _with_commit(value, report.embeddings.taken_from["revision"])
    commits = {name: commit for name, commit in report.corpus.revisions.items() if commit}
    is_labelled = option.section == "finetune" and option.is_repeatable
    if is_labelled and report.finetune:
        commits = {data.dataset: data.revision for data in report.finetune.data if data.dataset and data.revision}
    if is_labelled or option.name == "parallel":
        return tuple(_pin(spec, commits) for spec in value)
    if option.name == "corpus":
        return tuple(_pin(spec, commits) for spec in value or ([DEFAULT_SOURCE] if commits else []))
    return value


def _with_commit(name: str | None, commit: str | None) -> str | None:
    return f"{name.partition('@')[0]}@{commit}" if name and commit else name


def _pin(spec: str, commits: dict[str, str]) -> str:
    dataset, colon, rest = spec.partition(":")
    return f"{_with_commit(dataset, commits.get(dataset))}{colon}{rest}"
