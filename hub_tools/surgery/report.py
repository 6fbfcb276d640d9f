"""Measures of tokenizers on text: fertility, unknown tokens, round trips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tokenizers import Encoding, Tokenizer

from hub_tools.languages import WITHOUT_SPACES


@dataclass(frozen=True, kw_only=True)
class Fertility:
    """How a tokenizer cuts text.

    Attributes:
        tokens: tokens without the template's special ones.
        units: words between white space; characters in languages written without spaces.
        unknown: unknown tokens among them.
    """

    tokens: int
    units: int
    unknown: int

    @property
    def per_unit(self) -> float:
        """Tokens per word (or per character)."""
        return self.tokens / max(self.units, 1)


def fertility(tokenizer: Tokenizer, texts: list[str], lang: str, unknown: str | None) -> Fertility:
    """Count tokens, words and unknown tokens of texts in one language."""
    unknown_id = tokenizer.token_to_id(unknown) if unknown else None
    encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    units = (len(t.replace(" ", "")) if lang in WITHOUT_SPACES else len(t.split()) for t in texts)
    return Fertility(
        tokens=sum(len(e.ids) for e in encoded),
        units=sum(units),
        unknown=sum(e.ids.count(unknown_id) for e in encoded) if unknown_id is not None else 0,
    )


def compare_fertility(
    tokenizers: Mapping[str, tuple[Tokenizer, str | None]], texts: Mapping[str, list[str]]
) -> dict[str, dict[str, float]]:
    """Tokens per word of each tokenizer in each language.

    Args:
        tokenizers: name -> (tokenizer, its unknown token).
        texts: language -> texts.

    Returns:
        language -> name -> tokens per word.
    """
    return {
        lang: {name: round(fertility(t, own, lang, unknown).per_unit, 4) for name, (t, unknown) in tokenizers.items()}
        for lang, own in texts.items()
        if own
    }


def losses(
    teacher: tuple[Tokenizer, str | None], student: tuple[Tokenizer, str | None], texts: Iterable[str]
) -> tuple[int, int]:
    """What the student's tokenizer loses that the teacher's does not.

    Returns:
        (texts with an unknown token that the teacher read without, texts whose letters do not come back
        from encoding and decoding though the teacher's did).
    """
    new_unknowns = failures = 0
    batch = list(texts)
    encoded = [t.encode_batch(batch, add_special_tokens=False) for t, _ in (teacher, student)]
    for text, theirs, ours in zip(batch, *encoded, strict=True):
        teacher_lost = _has_unknown(teacher, theirs)
        new_unknowns += _has_unknown(student, ours) and not teacher_lost
        failures += not teacher_lost and not _comes_back(student[0], text, ours)
    return new_unknowns, failures


def _has_unknown(tokenizer: tuple[Tokenizer, str | None], encoding: Encoding) -> bool:
    backend, unknown = tokenizer
    return unknown is not None and backend.token_to_id(unknown) in encoding.ids


def _comes_back(tokenizer: Tokenizer, text: str, encoding: Encoding) -> bool:
    # Where the spaces were is lost in WordPiece, so only what stands between them can be compared.
    wanted = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    decoded = tokenizer.decode(encoding.ids, skip_special_tokens=False)
    return "".join(decoded.split()) == "".join(wanted.split())
