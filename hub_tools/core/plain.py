"""Dataclasses as plain data (what JSON and TOML hold) and back."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping
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
    """Build a value of a type from plain data.

    Args:
        kind: a dataclass, or any type that `fits` knows.
        data: what `to_plain` gave, or what a file held.
        where: name of the value in error messages, e.g. `clone.exact`.

    Raises:
        ValueError: a key is missing or unknown, or a value has another type; the message says which.
    """
    built: T = _build(kind, data, where)
    return built


def _build(kind: Any, data: Any, where: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, data, where)
    if origin in (types.UnionType, Union):
        if data is None and type(None) in args:
            return None
        chosen = [arg for arg in args if arg is not type(None)]
        return _build(next((arg for arg in chosen if _is_near(arg, data)), chosen[0]), data, where)
    if origin is dict or origin is Mapping:
        _expect(isinstance(data, dict), kind, data, where)
        return {key: _build(args[1], item, f"{where}.{key}") for key, item in data.items()}
    if origin in (list, tuple):
        _expect(isinstance(data, list | tuple), kind, data, where)
        return origin(_build(args[0], item, f"{where}[{number}]") for number, item in enumerate(data))
    return _build_leaf(kind, data, where)


def _build_leaf(kind: Any, data: Any, where: str) -> Any:
    if get_origin(kind) is Literal:
        _expect(data in get_args(kind), kind, data, where)
        return data
    if kind is Any:
        return data
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if isinstance(kind, type) and issubclass(kind, PurePath):
        _expect(isinstance(data, str | PurePath), kind, data, where)
        return kind(data)
    _expect(isinstance(data, kind) and not (kind is int and isinstance(data, bool)), kind, data, where)
    return data


def _build_dataclass(kind: Any, data: Any, where: str) -> Any:
    if isinstance(data, kind):
        return data
    _expect(isinstance(data, dict), kind, data, where)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    hints = get_type_hints(kind)
    check_keys(kind, data, where)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in data:
            raise ValueError(f"{where or kind.__name__} has no {name}")
    prefix = f"{where}." if where else ""
    return kind(**{name: _build(hints[name], item, prefix + name) for name, item in data.items()})


def check_keys(kind: Any, data: Mapping[str, Any], where: str) -> None:
    """Make sure that all keys are names of a dataclass's fields.

    Raises:
        ValueError: one is not; the message names the nearest field.
    """
    known = [field.name for field in dataclasses.fields(kind)]
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(known)}"
            raise ValueError(f"Unknown key {key!r}" + (f" in {where}" if where else "") + f" ({hint})")


def _is_near(kind: Any, data: Any) -> bool:
    """Whether plain data can be meant as this member of a union."""
    try:
        _build(kind, data, "")
    except ValueError:
        return False
    return True


def _expect(is_right: bool, kind: Any, data: Any, where: str) -> None:
    if not is_right:
        raise ValueError(f"{where} = {data!r:.200}; expected {describe(kind)}")


def describe(kind: Any) -> str:
    """Name a type in plain English, for error messages."""
    origin, args = get_origin(kind), [arg for arg in get_args(kind) if arg is not type(None)]
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin in (types.UnionType, Union):
        return " or ".join(map(describe, args))
    if origin in (list, tuple):
        return "a list of " + {str: "texts", int: "whole numbers"}.get(args[0], f"{describe(args[0])}")
    if origin is dict or origin is Mapping or dataclasses.is_dataclass(kind):
        return "a table"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))
