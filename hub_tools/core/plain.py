"""Dataclasses as plain data (what JSON and TOML hold) and back."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Return dataclasses as dictionaries, tuples as lists and paths as text, all the way down."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value


def changed(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults, as plain data."""
    plain, default = to_plain(value), to_plain(type(value)())
    return {name: item for name, item in plain.items() if item != default[name]}


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested plain values less those that are None, which TOML cannot hold."""
    return {
        key: without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }


def from_plain(kind: type[T], data: Any, where: str = "") -> T:
    """Build a dataclass, or a value of a field's type, from plain data; `where` is its name in messages: `clone.exact`.

    Raises:
        ValueError: a key is missing or unknown, or a value has another type; the message says which.
    """
    built: T = _build(kind, data, where)
    return built


def _build(kind: Any, data: Any, where: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):
        return _build_member(args, data, where)
    if dataclasses.is_dataclass(kind) and isinstance(data, Mapping):
        return _build_dataclass(kind, data, where)
    if origin in (dict, Mapping) and isinstance(data, Mapping):
        return {key: _build(args[1], item, f"{where}.{key}") for key, item in data.items()}
    if origin in (list, tuple) and isinstance(data, list | tuple):
        return origin(_build(args[0], item, f"{where}[{number}]") for number, item in enumerate(data))
    if not _fits(kind, data):
        raise ValueError(f"{where} = {_shown(data)}; expected {describe(kind)}")
    try:
        return kind(data) if kind in (float, Path) else data
    except OverflowError as error:
        raise ValueError(f"{where} is too large; expected {describe(kind)}") from error


def _shown(data: Any) -> str:
    try:
        return f"{data!r:.200}"
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"


def _build_member(kinds: tuple[Any, ...], data: Any, where: str) -> Any:
    """Build a value of the first member of a union that takes the data; a lone one says what is wrong with it."""
    if data is None and type(None) in kinds:
        return None
    members = [kind for kind in kinds if kind is not type(None)]
    if not members[1:]:
        return _build(members[0], data, where)
    for kind in members:
        with suppress(ValueError):
            return _build(kind, data, where)
    raise ValueError(f"{where} = {_shown(data)}; expected {' or '.join(map(describe, members))}")


def _build_dataclass(kind: Any, data: Mapping[str, Any], where: str) -> Any:
    check_keys(kind, data, where)
    for field in dataclasses.fields(kind):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in data:
            raise ValueError(f"{where or kind.__name__} has no {field.name}")
    hints, prefix = get_type_hints(kind), f"{where}." if where else ""
    return kind(**{name: _build(hints[name], item, prefix + name) for name, item in data.items()})


def _fits(kind: Any, data: Any) -> bool:
    """Whether data is a value of a type, or can stand for one."""
    if get_origin(kind) is Literal:
        return data in get_args(kind)
    if isinstance(data, bool):
        return kind in (bool, Any)
    accepted: Any = {Any: object, float: int | float, Path: str | PurePath}.get(kind, get_origin(kind) or kind)
    return isinstance(data, accepted)


def check_keys(kind: Any, data: Mapping[str, Any], where: str) -> None:
    """Make sure that all keys are names of a dataclass's fields; else the ValueError names the nearest field."""
    known = [field.name for field in dataclasses.fields(kind)]
    for name in data:
        if name not in known:
            key = str(name)[:80]
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(known)}"
            raise ValueError(f"Unknown key {key!r}" + (f" in {where}" if where else "") + f" ({hint})")


def describe(kind: Any) -> str:
    """Name a type in plain English, for error messages."""
    origin, args = get_origin(kind), [arg for arg in get_args(kind) if arg is not type(None)]
    if origin is Literal:
        return ("one of " if args[1:] else "") + ", ".join(map(str, args))
    if origin in (types.UnionType, Union):
        return " or ".join(map(describe, args))
    if origin in (list, tuple):
        return "a list of " + {str: "texts", int: "whole numbers"}.get(args[0], describe(args[0]))
    if origin is dict or origin is Mapping or dataclasses.is_dataclass(kind):
        return "a table"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))
