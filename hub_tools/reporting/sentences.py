"""What a report says in words, from its data, in each language of the page: sentences.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources

from hub_tools.core.languages import name_of

_FILE = tomllib.loads((resources.files("hub_tools") / "reporting" / "sentences.toml").read_text(encoding="utf-8"))
_LANGUAGES: dict[str, dict[str, str]] = _FILE.pop("languages")
# Language -> what code and tables call something -> its name.
NAMES: dict[str, dict[str, str]] = _FILE.pop("names")
# Language -> key -> text.
SENTENCES: dict[str, dict[str, str]] = _FILE


def say(lang: str, key: str, **values: object) -> str:
    """Return a text in a language, with the values that it names filled in."""
    return SENTENCES[lang][key].format(**values)


def named(text: str, lang: str) -> str:
    """Return in a language what code and tables call something: a task, a measure, a split.

    Where the whole has no name, each of its parts between commas or its first word may have one: `retrieval faq` is
    `arama faq`, since the rest is the name of a file.
    """
    names = NAMES.get(lang, {})
    return names.get(text) or ", ".join(_part(part, names) for part in text.split(", "))


def _part(text: str, names: dict[str, str]) -> str:
    word, space, rest = text.partition(" ")
    return names.get(text) or names.get(word, word) + space + rest


def language_name(code: str, lang: str) -> str:
    """Return the name of a language in another; in English where there is none."""
    return _LANGUAGES.get(lang, {}).get(code) or name_of(code)


def local(digits: str, lang: str) -> str:
    """Write a number that is written in English, 1,234.5, as a language does."""
    return digits.translate(str.maketrans(",.", ".,")) if lang == "tr" else digits


def listed(parts: Sequence[str], last: str) -> str:
    """Return parts as one reads them: `listed(["a", "b", "c"], "or")` is `a, b or c`."""
    *first, end = parts
    return f"{', '.join(first)} {last} {end}" if first else end
