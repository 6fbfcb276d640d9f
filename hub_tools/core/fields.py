"""Dataclass fields that describe an option, and dataclasses that check them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, field, fields
from operator import ge, gt, le, lt
from typing import Any, ClassVar, Self, TypedDict, TypeVar, Unpack, get_type_hints

from hub_tools.core.errors import UsageError
from hub_tools.core.plain import check_keys, describe, from_plain

T = TypeVar("T")
# What stands for a value in help texts. These three name things that may lie on this machine.
MODEL, FILE, SOURCE = "ID_OR_DIR", "FILE", "SPEC"
# Whole numbers that fit into 64 bits: libraries hold no others.
_LARGEST, _DIGITS = 2**63 - 1, 18
_BOUNDS = {"minimum": ("at least", ge), "above": ("above", gt), "maximum": ("at most", le), "below": ("below", lt)}


class Facts(TypedDict, total=False):
    """What is known of an option besides its default and its help."""

    flag: str | None  # name on the command line where the field has another; None: only a file and Python can set it
    metavar: str  # what stands for its value in help texts
    unset: str  # what happens where it is not given and the default says nothing
    minimum: float  # least value; of a list, of each item
    maximum: float
    above: float  # values have to be larger
    below: float
    commas: bool  # a list that may be written as one text with commas between the items, or as one number
    neutral: bool  # it changes no result, only how fast or in how much memory it is computed, or what is shown


def option(default: T, help_text: str, **facts: Unpack[Facts]) -> T:
    """Return a dataclass field with a default; its metadata describes the option."""
    described: T = field(default=default, metadata={"help": help_text, **facts})
    return described


def flag_of(item: Field[Any]) -> str | None:
    """Return the name that a field has on the command line; None where it has none."""
    is_option = "help" in item.metadata
    return item.metadata.get("flag", f"--{item.name.replace('_', '-')}") if is_option else None


@dataclass(frozen=True, kw_only=True)
class Section:
    """Options that check themselves: a wrong value is a UsageError that names the option as users type it."""

    section: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Convert the values to the types of their fields, and check them."""
        hints = get_type_hints(type(self))
        for item in fields(self):
            value = getattr(self, item.name)
            if _is_required(item) and not value:
                raise UsageError(f"Missing {self.option_name(item)}. `hub-distill --help` lists the options.")
            if value is not item.default:
                checked = _checked(value, hints[item.name], item.metadata, self.option_name(item))
                object.__setattr__(self, item.name, checked)
        self._check()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build the options from plain values, sections as dictionaries; what cannot work is a UsageError."""
        try:
            check_keys(cls, values, cls.section and f"[{cls.section}]")
        except ValueError as error:
            raise UsageError(f"{error}.") from error
        missing = {item.name: None for item in fields(cls) if _is_required(item)}
        return cls(**{**missing, **values})

    def _check(self) -> None:
        """Check what concerns more than one field."""

    @classmethod
    def option_name(cls, item: Field[Any]) -> str:
        """Return a field's flag, or section.field where it has none."""
        return flag_of(item) or f"{cls.section}.{item.name}".lstrip(".")

    def changed_options(self, *names: str) -> list[str]:
        """Return the option names of those of the fields that do not have their default."""
        changed = (item for item in fields(self) if getattr(self, item.name) != item.default)
        return [self.option_name(item) for item in changed if item.name in names]


def _is_required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _checked(value: Any, hint: Any, facts: Mapping[str, Any], name: str) -> Any:
    """Return a value as its field's type; another type, or a value out of bounds, is a UsageError."""
    if facts.get("commas") and isinstance(value, int) and not isinstance(value, bool) and hint == tuple[int, ...]:
        value = [value]
    if facts.get("commas") and isinstance(value, str):
        parts = [part.strip() for part in value.split(",")]
        value = [_number(part, hint) for part in parts]
    if isinstance(hint, type) and issubclass(hint, Section) and isinstance(value, Mapping):
        return hint.from_dict(value)
    try:
        typed = from_plain(hint, value, name)
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    for item in typed if isinstance(typed, tuple) else (typed,):
        if isinstance(item, int) and abs(item) > _LARGEST:
            raise UsageError(f"{name} is too large: expected a number of at most {_DIGITS} digits.")
        if isinstance(item, int | float):
            _check_bounds(item, hint, facts, name)
        if isinstance(item, str) and not item.isascii() and any("\ud800" <= c <= "\udfff" for c in item):
            raise UsageError(f"{name} = {item!r} is not valid Unicode: neither TOML nor JSON can hold it.")
    return typed


def _number(part: str, hint: Any) -> int | float | str:
    """Return an item of a list with commas as the number that it stands for; as it is where it stands for none."""
    if hint == tuple[int, ...] and part.isdecimal() and len(part) <= _DIGITS:
        return int(part)
    with suppress(ValueError):
        return float(part) if hint == tuple[float, ...] else part
    return part


def _check_bounds(number: float, hint: Any, facts: Mapping[str, Any], name: str) -> None:
    bounds = [(words, is_within, facts[key]) for key, (words, is_within) in _BOUNDS.items() if key in facts]
    is_finite = isinstance(number, int) or math.isfinite(number)
    if not is_finite or not all(is_within(number, bound) for _, is_within, bound in bounds):
        limits = " and ".join(f"{words} {bound:g}" for words, _, bound in bounds)
        raise UsageError(f"{name} = {number}; expected {describe(hint)}{limits and ', ' + limits}.")
