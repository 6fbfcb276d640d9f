"""How much one call may ask for. The page shows these numbers, and docs/space.md lists them."""

from __future__ import annotations

import time
from collections.abc import Iterable

from hub_tools.core.errors import UserError
from hub_tools.space.i18n import translate

TEXT = 10_000  # characters of a text to tokenize
QUERY = 1_000  # characters of a query
SENTENCES = 12
SENTENCE = 1_000  # characters
DOCUMENTS = 1_000  # of a user's own
DOCUMENT = 4_000  # characters of one; models read less
CORPUS = 1_000_000  # characters of all
UPLOAD = 5 * 2**20  # bytes: 5 MB, as gradio counts them
SECONDS = 60.0  # of a call
TOP = 20  # results


class RefusedError(UserError):
    """A visitor's request cannot be served: a key of `i18n.TEXTS` and what its text names, for any language."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(translate("en", key, **values))
        self.key, self.values = key, values

    def translate(self, lang: str) -> str:
        """Return the message in a language of the page."""
        return translate(lang, self.key, **self.values)


class Deadline:
    """The end of a call, some seconds from now; long work checks it between its parts."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds, self._end = seconds, time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            RefusedError: there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise RefusedError("error_time", seconds=f"{self._seconds:g}")
        return left


def check_text(text: str, longest: int) -> str:
    """Return a text without lone surrogates.

    Raises:
        RefusedError: it is empty or too long.
    """
    if not text.strip():
        raise RefusedError("error_empty")
    if len(text) > longest:
        raise RefusedError("error_long", characters=f"{len(text):,}", longest=f"{longest:,}")
    return _without_surrogates(text)


def limit_texts(texts: Iterable[str]) -> list[str]:
    """Return texts within the limits: white space folded, none empty, none twice, at most so many, each cut.

    Reads no further than to the limits.

    Raises:
        RefusedError: nothing is left.
    """
    kept: dict[str, None] = {}
    total = 0
    for text in texts:
        # Only what can be kept is folded: a pasted giant costs no more than its first part.
        short = _without_surrogates(" ".join(text[: 2 * DOCUMENT].split())[:DOCUMENT])
        total += len(short)
        if total > CORPUS or len(kept) >= DOCUMENTS:
            break
        if short:
            kept[short] = None
    if not kept:
        raise RefusedError("error_empty")
    return list(kept)


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
