"""Print docs/report.md, the keys of report.json, from the dataclasses that it is written from; --schema as JSON Schema.

usage: python scripts/report_page.py > docs/report.md
       python scripts/report_page.py --schema > docs/report.schema.json
"""

from __future__ import annotations

import dataclasses
import inspect
import io
import json
import re
import sys
import tokenize
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hub_tools.config import RunConfig
from hub_tools.reporting.report import Report

_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", Path: "string", type(None): "null"}


def report_page() -> str:
    """Return docs/report.md."""
    lines = [
        "# report.json",
        "",
        "    hub-distill report RUN --json          # the same on stdout",
        "",
        "Every finished run has a report.json with all that was made and measured. A key is null, or its list or",
        "table empty, where a stage did not run or nothing was measured. Scores and cosines are from 0 or -1 to 1;",
        "times are seconds. [The schema](report.schema.json) is the same for machines. `config` holds the options",
        "that the stages had: [options.md](options.md).",
        "",
        "Written by `python scripts/report_page.py > docs/report.md`, from the dataclasses in `hub_tools/results.py`.",
    ]
    for kind in _kinds(Report):
        hints, comments = get_type_hints(kind), _comments(kind)
        lines += [
            "",
            f"## {kind.__name__}",
            "",
            _first_paragraph(kind),
            "",
            "| key | value | meaning |",
            "|---|---|---|",
        ]
        for field in dataclasses.fields(kind):
            lines.append(f"| `{field.name}` | {_words(hints[field.name])} | {comments.get(field.name, '')} |")
    return "\n".join(lines) + "\n"


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema of report.json."""
    definitions = {kind.__name__: _object(kind) for kind in _kinds(Report)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "report.json of hub_tools",
        **definitions.pop(Report.__name__),
        "$defs": definitions,
    }


def _kinds(root: type) -> list[Any]:
    """Return a dataclass and those that its fields lead to, in the order of the fields; options are another page's."""
    found: list[Any] = []
    waiting: list[Any] = [root]
    while waiting:
        kind = waiting.pop(0)
        if dataclasses.is_dataclass(kind) and kind not in found and kind is not RunConfig:
            found.append(kind)
            waiting = list(get_type_hints(kind).values()) + waiting
        else:
            waiting = list(get_args(kind)) + waiting
    return found


def _object(kind: Any) -> dict[str, Any]:
    hints, comments = get_type_hints(kind), _comments(kind)
    properties = {}
    for field in dataclasses.fields(kind):
        properties[field.name] = _schema(hints[field.name])
        if field.name in comments:
            properties[field.name]["description"] = comments[field.name]
    names = [field.name for field in dataclasses.fields(kind)]
    about = {"description": _first_paragraph(kind), "type": "object", "properties": properties}
    return {**about, "required": names, "additionalProperties": False}


def _schema(kind: Any) -> dict[str, Any]:
    origin, args = get_origin(kind), get_args(kind)
    if kind is RunConfig or kind is Any:
        return {}
    if dataclasses.is_dataclass(kind):
        return {"$ref": f"#/$defs/{getattr(kind, '__name__', '')}"}
    if origin in (types.UnionType, Union):
        return {"anyOf": [_schema(member) for member in args]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (list, tuple, dict, Mapping):
        is_list = origin in (list, tuple)
        items = _schema(args[0] if is_list else args[1])
        return {"type": "array", "items": items} if is_list else {"type": "object", "additionalProperties": items}
    return {"type": _NAMES[kind]}


def _words(kind: Any) -> str:
    """Name a type: number or null, list of [Split](#split), table of number."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is RunConfig:
        return "[options](options.md)"
    if dataclasses.is_dataclass(kind):
        name = getattr(kind, "__name__", "")
        return f"[{name}](#{name.lower()})"
    if origin in (types.UnionType, Union):
        return " or ".join(_words(member) for member in args)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in args)
    if origin in (list, tuple, dict, Mapping):
        return f"list of {_words(args[0])}" if origin in (list, tuple) else f"table of {_words(args[1])}"
    return "anything" if kind is Any else _NAMES[kind]


def _comments(kind: Any) -> dict[str, str]:
    """Return what stands in comments beside the fields of a dataclass and its bases, or in lines above them."""
    found: dict[str, str] = {}
    bases: list[Any] = [base for base in kind.__mro__ if dataclasses.is_dataclass(base)]
    for base in reversed(bases):
        above, name = "", ""
        for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(base)).readline):
            field = re.match(r"    (\w+): ", token.line)
            if token.type == tokenize.COMMENT and not token.line.strip().startswith("#"):
                # A field of several lines has its comment on the last of them.
                found[field[1] if field else name] = token.string.lstrip("# ").replace("None", "null")
            elif token.type == tokenize.COMMENT:
                above = f"{above} {token.string.lstrip('# ')}".strip()
            elif token.type == tokenize.NEWLINE:
                if field and above:
                    found.setdefault(field[1], above.replace("None", "null"))
                above = ""
            elif field:
                name = field[1]
    return found


def _first_paragraph(kind: Any) -> str:
    return " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split()).replace("None", "null")


if __name__ == "__main__":
    as_schema = "--schema" in sys.argv
    sys.stdout.write(json.dumps(report_schema(), indent=1, ensure_ascii=False) + "\n" if as_schema else report_page())
