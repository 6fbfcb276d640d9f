"""The command that does a run again, as it may be shown in public."""

from __future__ import annotations

import json
import shlex
from typing import Any

from hub_tools.config import RunConfig, config_values, toml_lines
from hub_tools.core.plain import to_plain
from hub_tools.corpus.sources import DEFAULT_SOURCE
from hub_tools.reporting.redact import redact_paths
from hub_tools.reporting.report import FullReport


def reproduce(report: FullReport) -> tuple[str, str]:
    """The command that does the run again, and the file it needs for settings without an option (or "").

    Folders of the machine are written as PATH: a card tells nobody how a home directory is called.
    """
    from hub_tools.cli import PLACES

    config = to_plain(report.config)
    defaults = _defaults(config)
    pinned = {"corpus": _pinned, "tokenizer": _pinned_tokenizer}
    words = ["hub-distill", "--teacher", _teacher_spec(report), "--lang", ",".join(config["lang"])]
    for option, (section, key) in PLACES.items():
        if section != "publish" and key not in ("teacher", "lang", "output"):
            value, default = (place if section is None else place[section] for place in (config, defaults))
            given = pinned[option](report) if option in pinned else value.get(key)
            words += _option(option, given, default[key])
    toml = "\n".join(_settings_without_option(config, defaults, set(PLACES.values())))
    words += ["--config", "run.toml"] if toml else []
    return shlex.join(words), toml


def _settings_without_option(
    config: dict[str, Any], defaults: dict[str, Any], places: set[tuple[str | None, str]]
) -> list[str]:
    lines = []
    for section, values in config.items():
        if isinstance(values, dict) and section != "publish":
            rest = {k: v for k, v in values.items() if (section, k) not in places and v != defaults[section].get(k)}
            lines += [f"[{section}]", *toml_lines(rest)] if rest else []
    return lines


def _option(option: str, value: Any, default: Any) -> list[str]:
    name = "--" + option.replace("_", "-")
    if value == default or value is None:
        return []
    if value is True:
        return [name]
    values = value if isinstance(value, list | tuple) else [value]
    if all(isinstance(one, int) for one in values):  # numbers stand in one option
        values = [",".join(map(str, values))]
    return [word for one in values for word in (name, redact_paths(str(one)))]


def _pinned(report: FullReport) -> list[str]:
    """The text sources with the commits that the datasets of the Hub were at."""
    commits = {name: commit for name, commit in report.corpus.revisions.items() if commit}
    specs = list(report.config.corpus.sources) or ([DEFAULT_SOURCE] if commits else [])
    return [_pin(spec, commits) for spec in specs]


def _pinned_tokenizer(report: FullReport) -> str | None:
    name, commit = report.config.tokenizer.use, report.tokenizer.revision
    return f"{name.partition('@')[0]}@{commit}" if name and commit else name


def _pin(spec: str, commits: dict[str, str]) -> str:
    dataset, colon, rest = spec.partition(":")
    if dataset not in commits:
        return spec
    return f"{dataset.partition('@')[0]}@{commits[dataset]}{colon}{rest}"


def _teacher_spec(report: FullReport) -> str:
    return redact_paths(report.teacher.spec)


def _defaults(config: dict[str, Any]) -> dict[str, Any]:
    plain = RunConfig(teacher=config["teacher"], lang=tuple(config["lang"]), output=config["output"])
    values: dict[str, Any] = json.loads(json.dumps(config_values(plain)))
    return values
