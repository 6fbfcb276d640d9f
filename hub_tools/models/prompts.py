"""Which texts are embedded behind which of the teacher's prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub_tools.config import EmbedConfig
from hub_tools.corpus.clean import hash_text

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """A model's prompts, and the share of the texts that are read behind them.

    Which texts are queries and which are documents is drawn by their hash, so that the student learns both prompts on
    all kinds of text; the others are read as `encode` reads them.
    """

    texts: dict[str, str]  # name -> prompt, as the model has them
    default: str | None  # name of the prompt that `encode` takes by itself
    query: str | None = None  # name of the query prompt; None where there is none, or none is to be used
    document: str | None = None  # likewise
    query_share: float = 0.0
    document_share: float = 0.0

    def name_for(self, text: str) -> str | None:
        """Return the name of the prompt for a text."""
        drawn = hash_text(f"prompt\t{text}") / 2**64  # from 0 to 1
        if self.query is not None and drawn < self.query_share:
            return self.query
        return self.document if self.document is not None and drawn >= 1 - self.document_share else self.default

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
            "query_share": self.query_share,
            "document_share": self.document_share,
        }


def choose_prompts(model: SentenceTransformer, config: EmbedConfig) -> Prompts:
    """Return the rule for a teacher: only its default prompt where it has none for queries or documents."""
    texts, default = {name: text or "" for name, text in model.prompts.items()}, model.default_prompt_name
    query = "query" if "query" in texts else None
    # The names that `encode_document` looks for, in this order.
    document = next((name for name in ("document", "passage", "corpus") if name in texts), None)
    if not any(texts.get(name or "") for name in (query, document)) or config.query_share == config.document_share == 0:
        return Prompts(texts=texts, default=default)
    shares = {"query_share": config.query_share, "document_share": config.document_share}
    return Prompts(texts=texts, default=default, query=query, document=document, **shares)
