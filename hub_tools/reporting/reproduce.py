"""The command that does a run again, as it may be shown in public."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import PurePath
from typing import Any

from hub_tools.config import RunConfig, config_values, toml_lines
from hub_tools.corpus.readers import FORMATS
from hub_tools.corpus.sources import DEFAULT_SOURCE
from hub_tools.reporting.text import Report


def reproduce(report: Report) -> tuple[str, str]:
    """The command that does the run again, and the file it needs for settings without an option (or "").

    Folders of the machine are written as PATH: a card tells nobody how a home directory is called.
    """
    from hub_tools.cli import PLACES

    config, defaults = report["config"], _defaults(report["config"])
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
    return [word for one in values for word in (name, public(str(one)))]


def _pinned(report: Report) -> list[str]:
    """The text sources with the commits that the datasets of the Hub were at."""
    commits = {name: commit for name, commit in report["corpus"].get("revisions", {}).items() if commit}
    specs = report["config"]["corpus"]["sources"] or ([DEFAULT_SOURCE] if commits else [])
    return [_pin(spec, commits) for spec in specs]


def _pinned_tokenizer(report: Report) -> str | None:
    name, commit = report["config"]["tokenizer"]["use"], report["tokenizer"].get("revision")
    return f"{name.partition('@')[0]}@{commit}" if commit else name


def _pin(spec: str, commits: dict[str, str]) -> str:
    dataset, colon, rest = spec.partition(":")
    if dataset not in commits:
        return spec
    return f"{dataset.partition('@')[0]}@{commits[dataset]}{colon}{rest}"


def _teacher_spec(report: Report) -> str:
    teacher = report["teacher"]
    return f"{teacher['id']}@{teacher['revision']}" if teacher["revision"] else public(str(teacher["id"]))


def _defaults(config: dict[str, Any]) -> dict[str, Any]:
    plain = RunConfig(teacher=config["teacher"], lang=tuple(config["lang"]), output=config["output"])
    values: dict[str, Any] = json.loads(json.dumps(config_values(plain)))
    return values


def is_path(value: str) -> bool:
    """Whether a text source is a file rather than a Hub dataset."""
    return value.startswith(("/", "~", ".")) or PurePath(value).suffix in (*FORMATS, ".gz")


def public(value: str) -> str:
    """A path without the folders of the machine; anything else as it is."""
    if value.startswith(("/", "~")) or re.match(r"[A-Za-z]:[\\/]", value):
        return "PATH/" + re.split(r"[/\\]", value.rstrip("/"))[-1]
    return value
