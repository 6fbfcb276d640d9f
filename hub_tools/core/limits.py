"""How many texts of each language count: limits by language, such as `tr=100000,en=100000,*=10000`."""

from __future__ import annotations

from collections.abc import Mapping

from hub_tools.core.errors import UsageError
from hub_tools.core.languages import check_language, name_of

# Language -> most texts.
Limits = Mapping[str, int]
# Stands for every language that is not named.
OTHERS = "*"
_DIGITS = 18


def read_limits(option: str, value: str | int | None, least: int) -> dict[str, int]:
    """Return the limits that an option asks for, each `least` or more; a number alone is one for every language.

    Raises:
        UsageError: a language is not known or named twice, or a number is none.
    """
    limits: dict[str, int] = {}
    for part in [] if value is None else str(value).split(","):
        lang, equals, number = (word.strip() for word in part.rpartition("="))
        lang = lang if equals else OTHERS
        if not number.isdecimal() or len(number) > _DIGITS or int(number) < least:
            raise UsageError(
                f"{option} {str(value)[:80]!r}: expected a whole number, at least {least}, or one for each language "
                f"such as tr=100000,*=10000, not {number[:40]!r}."
            )
        if lang != OTHERS:
            _check_named(option, lang)
        if lang in limits:
            raise UsageError(
                f"{option} {str(value)[:80]!r} has two numbers for {lang}; expected one number, or one for each "
                "language such as tr=100000,*=10000."
            )
        limits[lang] = int(number)
    return limits


def _check_named(option: str, lang: str) -> None:
    try:
        check_language(lang)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from error


def write_limits(limits: Limits) -> str | int | None:
    """Return limits as the value of an option, the same for all ways to write them; None for none."""
    if not limits.keys() - {OTHERS}:
        return limits.get(OTHERS)
    in_order = sorted(limits, key=lambda lang: (lang == OTHERS, lang))
    return ",".join(f"{lang}={limits[lang]}" for lang in in_order)


def limit_of(limits: Limits, lang: str) -> int | None:
    """Return the limit of a language; None where it has none."""
    return limits.get(lang, limits.get(OTHERS))


def limits_text(limits: Limits) -> str:
    """Return limits in words, such as `100,000 monolingual texts of Turkish, 10,000 of any other language`."""
    others = "any other language" if len(limits) > 1 else "a language"
    parts = [f"{number:,} of {others if lang == OTHERS else name_of(lang)}" for lang, number in limits.items()]
    return ", ".join(parts).replace(" of", " monolingual texts of", 1)
