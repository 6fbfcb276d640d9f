"""How much one call may ask for. The page shows these numbers, and docs/space.md lists them."""

from __future__ import annotations

import time

from hub_tools.core.errors import UserError
from hub_tools.space.i18n import say

TEXT = 10_000  # characters of a text to tokenize
QUERY = 1_000  # characters of a query
SENTENCES = 12
SENTENCE = 1_000  # characters
DOCUMENTS = 1_000  # of a user's own
DOCUMENT = 4_000  # characters of one; models read less
CORPUS = 1_000_000  # characters of all
UPLOAD = 5_000_000  # bytes
SECONDS = 60.0  # of a call
TOP = 20  # results


class RefusedError(UserError):
    """What a visitor asked for cannot be done; said in the language of the page.

    Args:
        key: a key of `texts.TEXTS`.
        values: what its text names.
    """

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(say("en", key, **values))
        self.key = key
        self.values = values

    def say(self, lang: str) -> str:
        """The sentence in a language of the page."""
        return say(lang, self.key, **self.values)


class Deadline:
    """The end of a call: long work asks it between its parts.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left.

        Raises:
            RefusedError: there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise RefusedError("error_time", seconds=f"{self._seconds:g}")
        return left


def check_text(text: str, longest: int) -> str:
    """A text that is not empty and not too long, without lone surrogates.

    Raises:
        RefusedError: it is.
    """
    if not text.strip():
        raise RefusedError("error_empty")
    if len(text) > longest:
        raise RefusedError("error_long", characters=f"{len(text):,}", longest=f"{longest:,}")
    return text.encode("utf-8", "replace").decode("utf-8")
