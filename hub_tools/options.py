"""The table of options, read off the dataclasses of `hub_tools.config`, and the options of the command line."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from hub_tools.config import RunConfig
from hub_tools.core.fields import FILE, MODEL, SOURCE, Section, flag_of

# What everyone needs, in the few words of --help.
COMMON = {
    "teacher": "Embedding model: a Hub id or a folder.",
    "lang": "Language of the student, e.g. tr; or tr,en.",
    "output": "Run folder. [default: runs/TEACHER-LANG]",
    "corpus": "File, folder or dataset. [default: Wikipedia]",
    "parallel": "Translations, which teach a language best.",
    "vocab_size": "Tokens of the student, or auto.",
    "steps": "Training steps. [default: 3 epochs]",
    "sts": "Similarity test to measure on.",
    "push_to_hub": "Publish the results there, on the Hub.",
}
_METAVARS = {int: "N", float: "X", str: "TEXT"}


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option: a field of the configuration."""

    section: str  # of the TOML file; "" for the options above all sections
    key: str  # name of the field, in the file too
    flag: str | None  # name on the command line, e.g. --vocab-size; None for options of the TOML file only
    kind: Any  # type of the field
    default: Any  # MISSING where it must be given
    facts: Mapping[str, Any]  # its help, and what else is known of it (`hub_tools.core.fields.Facts`)
    group: str  # title of the options that it is shown with

    @property
    def name(self) -> str:
        """The flag as a name of Python, e.g. vocab_size; that of an option without a flag is section.key."""
        return self.flag.lstrip("-").replace("-", "_") if self.flag else f"{self.section}.{self.key}"

    @property
    def item(self) -> Any:
        """Type of the value; of lists, of each item."""
        inner = next((arg for arg in get_args(self.kind) if arg is not type(None)), self.kind)
        return self.kind if get_origin(self.kind) is Literal else inner

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return get_origin(self.kind) is tuple

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be given more than once; other lists are written with commas."""
        return self.is_list and not self.facts.get("commas")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it may have; empty where they cannot be listed."""
        return get_args(self.item) if get_origin(self.item) is Literal else ()

    @property
    def metavar(self) -> str | None:
        """What stands for its value in help texts; None for a switch."""
        if self.kind is bool:
            return None
        usual = f"[{'|'.join(self.choices)}]" if self.choices else _METAVARS.get(self.item)
        return str(self.facts["metavar"]) if "metavar" in self.facts else usual

    @property
    def default_text(self) -> str:
        """The default in words; "" where there is nothing to say."""
        if "unset" in self.facts or self.kind is bool or self.default in (MISSING, None, ()):
            return str(self.facts.get("unset", ""))
        if self.is_list:
            return ",".join(map(str, self.default))
        return f"{self.default:g}" if self.kind is float else str(self.default)

    @property
    def may_be_local(self) -> bool:
        """Whether the value may name a file or folder of this machine."""
        return self.metavar in (MODEL, FILE, SOURCE)

    def of(self, config: RunConfig) -> Any:
        """Return the value in a configuration."""
        return getattr(getattr(config, self.section) if self.section else config, self.key)

    def words(self, value: Any) -> list[str]:
        """Return a value as words of a command, such as `--vocab-size 4096`."""
        if self.flag is None:
            raise ValueError(f"{self.name} has no flag")
        if self.kind is bool:
            return [self.flag] if value else []
        values = value if self.is_repeatable else [",".join(map(str, value)) if self.is_list else value]
        return [word for item in values for word in (self.flag, str(item))]


def _read_options(kind: type[Section], title: str) -> Iterable[Option]:
    hints = get_type_hints(kind)
    for item in fields(kind):
        hint = hints[item.name]
        if isinstance(hint, type) and issubclass(hint, Section):
            summary = str(hint.__doc__).rstrip(".")
            yield from _read_options(hint, f"{hint.section.capitalize()} ({summary[0].lower()}{summary[1:]})")
        else:
            yield Option(
                section=kind.section,
                key=item.name,
                flag=flag_of(item),
                kind=hint,
                default=item.default,
                facts=item.metadata,
                group=title,
            )


OPTIONS: tuple[Option, ...] = tuple(_read_options(RunConfig, "Models and machine"))


def click_options(shown: Container[str] | None = None) -> list[click.Option]:
    """Return all options with a flag for the command line, the common ones first; None means not given.

    Help texts have those of the names `shown`, or all; the others work too.
    """
    place = {name: number for number, name in enumerate(COMMON)}
    in_order = sorted(OPTIONS, key=lambda option: place.get(option.name, len(COMMON)))
    return [_click_option(o, hidden=shown is not None and o.name not in shown) for o in in_order if o.flag]


def _click_option(option: Option, *, hidden: bool) -> click.Option:
    default = f"[default: {option.default_text}]" if option.default_text else ""
    repeatable = "Repeatable." if option.is_repeatable else ""
    return click.Option(
        [str(option.flag), option.name],
        type=_click_type(option),
        is_flag=option.kind is bool,
        multiple=option.is_repeatable,
        default=None,
        metavar=option.metavar,
        help=" ".join(part for part in (option.facts["help"], repeatable, default) if part),
        hidden=hidden,
    )


def _click_type(option: Option) -> Any:
    # Lists with commas, choices and words beside numbers are read and checked by the configuration.
    if option.item is int and any(get_origin(kind) is Literal for kind in get_args(option.kind)):
        return _number_or_word
    return option.item if option.item in (bool, int, float) and not option.is_list else str


def _number_or_word(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def nest(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of the command line, by their names, as nested values for `RunConfig.from_dict`."""
    values: dict[str, Any] = {}
    for option in OPTIONS:
        value = options.get(option.name)
        if value is not None and value != ():
            section = values.setdefault(option.section, {}) if option.section else values
            section[option.key] = value
    return values
