"""What a run measured, and the command that makes a student of a teacher."""

from __future__ import annotations

import re
import shlex

from hub_tools.core.errors import UsageError
from hub_tools.core.languages import check_language
from hub_tools.space.limits import RefusedError
from hub_tools.space.sandbox import check_id

_SMALLEST, _LARGEST = 300, 1_000_000
_TRANSLATIONS = "Helsinki-NLP/opus-100"  # a dataset of the Hub, whose configurations are pairs such as de-en and en-tr
_UNTRANSLATED = frozenset({"en", "jv", "la", "lo", "so", "sw", "tl"})  # known languages that it has no such pair of


def command(teacher: str, language: str, vocabulary: int) -> str:
    """Return the command that makes a student, safe to paste into a shell, with translations where the Hub has them.

    Raises:
        RefusedError: the teacher is no Hub id, the language is not known, or the vocabulary has an impossible size.
    """
    name, _, revision = teacher.partition("@")
    repo = check_id(name)
    if revision and not re.fullmatch(r"[\w.-]{1,60}", revision):
        raise RefusedError("error_id", id=teacher[:100])
    if not _SMALLEST <= vocabulary <= _LARGEST:
        raise RefusedError("error_vocabulary", smallest=_SMALLEST, largest=f"{_LARGEST:,}")
    spec = f"{repo}@{revision}" if revision else repo
    try:
        language = check_language(language[:20])
    except UsageError as error:
        raise RefusedError("error_language", code=language[:20]) from error
    words = ["hub-distill", "--teacher", spec, "--lang", language, "--vocab-size", str(vocabulary)]
    if language not in _UNTRANSLATED:
        words += ["--parallel", f"{_TRANSLATIONS}:{'-'.join(sorted(('en', language)))}"]
    return shlex.join(words)
