"""The command that does a run again, as it may be shown in public."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import PurePath
from typing import Any

from hub_tools.config import RunConfig, config_values, toml_lines
from hub_tools.report import Report
from hub_tools.sources import FORMATS


def reproduce(report: Report) -> tuple[str, str]:
    """The command that does the run again, and the file it needs for settings without an option (or "").

    Folders of the machine are written as PATH: a card tells nobody how a home directory is called.
    """
    from hub_tools.cli import PLACES

    config, defaults = report["config"], _defaults(report["config"])
    words = ["hub-distill", "--teacher", _teacher_spec(report), "--lang", ",".join(config["lang"])]
    covered = {(None, "teacher"), (None, "lang"), (None, "output"), ("publish", None)}
    for option, (section, key) in PLACES.items():
        if (section, key) in covered or section == "publish":
            continue
        covered.add((section, key))
        value, default = (place if section is None else place[section] for place in (config, defaults))
        words += _option(option, value[key], default[key])
    rest: dict[str, dict[str, Any]] = {}
    for section, values in config.items():
        if isinstance(values, dict) and section != "publish":
            other = {k: v for k, v in values.items() if (section, k) not in covered and v != defaults[section][k]}
            rest |= {section: other} if other else {}
    toml = "\n".join(line for name, values in rest.items() for line in (f"[{name}]", *toml_lines(values)))
    words += ["--config", "run.toml"] if toml else []
    return shlex.join(words), toml


def _option(option: str, value: Any, default: Any) -> list[str]:
    name = "--" + option.replace("_", "-")
    if value == default or value is None:
        return []
    if value is True:
        return [name]
    values = value if isinstance(value, list | tuple) else [value]
    return [word for one in values for word in (name, public(str(one)))]


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
