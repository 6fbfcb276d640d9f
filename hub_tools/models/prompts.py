"""Which texts are embedded behind which of the teacher's prompts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub_tools.config import EmbedConfig

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# The names that sentence-transformers looks for in `encode_query` and `encode_document`, in this order.
_QUERY, _DOCUMENT = ("query",), ("document", "passage", "corpus")


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """A model's prompts, and the share of the target language's texts that are read behind them.

    A text no longer than the median is short, like a question or a title. Which of the short texts are queries, and
    which of the long ones documents, is drawn by their hash; all others are read as `encode` reads them.

    Attributes:
        texts: name -> prompt, as the model has them.
        default: name of the prompt that `encode` takes by itself, or None.
        query: name of the query prompt; None where there is none, or none is to be used.
        document: name of the document prompt, likewise.
        longest_query: characters of the longest short text.
        query_share: share of the short texts that are queries.
        document_share: share of the long texts that are documents.
    """

    texts: dict[str, str]
    default: str | None
    query: str | None = None
    document: str | None = None
    longest_query: int = 0
    query_share: float = 0.0
    document_share: float = 0.0

    def name_for(self, text: str) -> str | None:
        """Return the name of the prompt for a text in the target language."""
        is_short = len(text) <= self.longest_query
        name, share = (self.query, self.query_share) if is_short else (self.document, self.document_share)
        return name if name is not None and _drawn(text) < share else self.default

    def text_of(self, name: str | None) -> str:
        """Return the prompt with this name; nothing for None."""
        return self.texts.get(name or "") or ""

    def rule(self) -> dict[str, Any] | None:
        """Return the rule as plain data for the manifest; None where all texts are read as `encode` does."""
        if self.query is None and self.document is None:
            return None
        return {
            "query": self.query,
            "document": self.document,
            "longest_query_characters": self.longest_query,
            "query_share": self.query_share,
            "document_share": self.document_share,
        }


def choose_prompts(model: SentenceTransformer, config: EmbedConfig, target_texts: Iterable[str]) -> Prompts:
    """Return the rule for a teacher: only its default prompt where it has none for queries or documents.

    Args:
        model: the teacher.
        config: the shares.
        target_texts: the texts in the target language, read once for their lengths where there are prompts.
    """
    texts, default = {name: text or "" for name, text in model.prompts.items()}, model.default_prompt_name
    query, document = (next((n for n in names if n in texts), None) for names in (_QUERY, _DOCUMENT))
    if not any(texts.get(name or "") for name in (query, document)) or config.query_share == config.document_share == 0:
        return Prompts(texts=texts, default=default)
    return Prompts(
        texts=texts,
        default=default,
        query=query,
        document=document,
        longest_query=_median(Counter(map(len, target_texts))),
        query_share=config.query_share,
        document_share=config.document_share,
    )


def _median(lengths: Counter[int]) -> int:
    """Return the least length that half of the texts do not exceed."""
    count = 0
    for length in sorted(lengths):
        count += lengths[length]
        if 2 * count >= lengths.total():
            return length
    return 0


def _drawn(text: str) -> float:
    """Return a number from 0 to 1 that depends on the text alone."""
    return int.from_bytes(hashlib.blake2b(f"prompt\t{text}".encode(), digest_size=8).digest()) / 2**64
