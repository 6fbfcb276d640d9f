"""Dataclass fields that describe an option, and dataclasses that check them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar, Self, TypeVar, get_type_hints

from hub_tools.core.errors import UsageError
from hub_tools.core.plain import check_keys, describe, from_plain

T = TypeVar("T")


def about(
    flag: str | None,
    help_text: str,
    *,
    metavar: str | None = None,
    unset: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    commas: bool = False,
    neutral: bool = False,
) -> dict[str, Any]:
    """Describe an option, as metadata of its field.

    Args:
        flag: its name on the command line; None means that only a TOML file and Python can set it.
        help_text: what it is, for `--help` and docs/options.md.
        metavar: what stands for its value in help texts.
        unset: what happens where it is not given and the default says nothing.
        minimum: least value; of a list, of each item.
        maximum: largest value.
        above: values have to be larger.
        below: values have to be smaller.
        commas: a list that may be written as one text with commas between the items.
        neutral: it changes no result, only how fast or in how much memory it is computed, or what is shown.
    """
    return {
        "help": help_text,
        "flag": flag,
        "metavar": metavar,
        "unset": unset,
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "below": below,
        "commas": commas,
        "neutral": neutral,
    }


def option(default: T, flag: str | None, help_text: str, **facts: Any) -> T:
    """Return a dataclass field with a default; the other arguments are those of `about`."""
    made: T = field(default=default, metadata=about(flag, help_text, **facts))
    return made


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
        """Build the options from plain values; sections in them are dictionaries.

        Raises:
            UsageError: a key is unknown, or a value is missing, has the wrong type or is out of range.
        """
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
        return str(item.metadata.get("flag") or f"{cls.section}.{item.name}".lstrip("."))

    def changed_options(self, *names: str) -> list[str]:
        """Return the option names of those of the fields that do not have their default."""
        by_name = {item.name: item for item in fields(self)}
        return [self.option_name(by_name[n]) for n in names if getattr(self, n) != by_name[n].default]


def _is_required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _checked(value: Any, hint: Any, facts: Mapping[str, Any], name: str) -> Any:
    """Return a value as its field's type.

    Raises:
        UsageError: it has another type, or is out of bounds.
    """
    if facts.get("commas") and isinstance(value, str):
        parts = [part.strip() for part in value.split(",")]
        value = [int(part) if part.isdecimal() and hint == tuple[int, ...] else part for part in parts]
    if isinstance(hint, type) and issubclass(hint, Section) and isinstance(value, Mapping):
        return hint.from_dict(value)
    try:
        typed = from_plain(hint, value, name)
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    for item in typed if isinstance(typed, tuple) else (typed,):
        if isinstance(item, int | float) and not _is_within(item, facts):
            raise UsageError(f"{name} = {item}; expected {describe(hint)}{_bounds(facts)}.")
        if isinstance(item, str) and not item.isascii() and any("\ud800" <= c <= "\udfff" for c in item):
            raise UsageError(f"{name} = {item!r} is not valid Unicode: neither TOML nor JSON can hold it.")
    return typed


def _is_within(number: float, facts: Mapping[str, Any]) -> bool:
    minimum, maximum, above, below = (facts.get(name) for name in ("minimum", "maximum", "above", "below"))
    return (
        (isinstance(number, int) or math.isfinite(number))
        and (minimum is None or number >= minimum)
        and (maximum is None or number <= maximum)
        and (above is None or number > above)
        and (below is None or number < below)
    )


def _bounds(facts: Mapping[str, Any]) -> str:
    words = {"minimum": "at least", "above": "above", "maximum": "at most", "below": "below"}
    given = [f"{word} {facts[name]:g}" for name, word in words.items() if facts.get(name) is not None]
    return ", " + " and ".join(given) if given else ""
