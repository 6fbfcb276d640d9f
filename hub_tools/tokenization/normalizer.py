"""The student's normalizer: one made for English strips the letters of other languages.

BERT's uncased normalizer maps ş to s, ğ to g, I and İ to i. The student's keeps the letters that its language
writes, lower-cases them by the language's rule, and treats every other character as the teacher does.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from tokenizers import Regex, Tokenizer, normalizers

from hub_tools.core.languages import TURKIC_I
from hub_tools.tokenization.tokenizer_json import flat_steps

Normalizer = normalizers.Normalizer

# A letter belongs to the language when it makes up at least this share of the letters in its corpus.
# In Turkish text ğ is near 1e-2 and the optional â near 2e-4; accents in loan words stay under 1e-4.
LETTER_SHARE = 1e-4
# BERT's table of combining marks is older than the regex engine's, which lacks these two.
_MARKS = r"[\p{Mn}\x{1734}\x{1171E}]"
# Longest stretch of a word in which evidence is looked for on either side of a capital I.
_REACH = 30


@dataclass(frozen=True, kw_only=True)
class NormalizerChange:
    """The student's normalizer and what is different in it."""

    normalizer: Normalizer | None
    letters: tuple[str, ...] = ()  # letters and marks that are kept where the teacher's destroys them
    notes: tuple[str, ...] = ()  # one sentence a change, for the report


def adapt_normalizer(
    normalizer: Normalizer | None, spec: dict[str, Any] | None, texts: Mapping[str, Iterable[str]]
) -> NormalizerChange:
    """Make a normalizer that keeps the letters that texts, by language, are written with.

    `normalizer` is the teacher's, and the result where it loses nothing; `spec` is the same as in tokenizer.json.
    """
    steps = flat_steps(spec, "normalizers")
    lowercases, strips = any(map(_lowercases, steps)), any(map(_strips, steps))
    # The letters that tell of a language with two i.
    turkic = "".join(dict.fromkeys(c for lang in texts if lowercases for c in TURKIC_I.get(lang, "")))
    letters = _lost_letters(normalizer, texts, lowercases=lowercases) if normalizer and strips else ()
    if not letters and not turkic:
        return NormalizerChange(normalizer=normalizer, notes=_unrepaired(normalizer, steps, texts))
    changed: list[Normalizer] = []
    lowered = False
    for step in steps:
        changed += _kept_part(step)
        if _lowercases(step):
            if turkic:
                # The rules for capitals are written for composed letters; stripping decomposes again.
                changed += [normalizers.NFC()] if strips else []
                changed += [normalizers.Replace(_dotless_capital(turkic), "ı"), normalizers.Replace("İ", "i")]
            changed.append(normalizers.Lowercase())
            lowered = True
        if _strips(step):
            capitals = [*(c.upper() for c in letters if len(c.upper()) == 1), *("İ" if turkic else "")]
            changed += _strip_marks_except([*letters, *([] if lowered else capitals)])
    notes = []
    if turkic:
        notes.append(
            f"İ becomes i; I becomes ı in a word that also has one of {' '.join(sorted(turkic + 'İ'))}, "
            "and i elsewhere, as the teacher reads it."
        )
    if strips:
        notes.append(f"Kept where the teacher's normalizer destroys them: {' '.join(letters)}")
    return NormalizerChange(normalizer=normalizers.Sequence(changed), letters=letters, notes=tuple(notes))


def _unrepaired(
    normalizer: Normalizer | None, steps: list[dict[str, Any]], texts: Mapping[str, Iterable[str]]
) -> tuple[str, ...]:
    """Note what steps that cannot be taken apart, charsmaps and regular expressions, destroy in the languages."""
    closed = [s["type"] for s in steps if s["type"] == "Precompiled" or "Regex" in s.get("pattern", ())]
    if normalizer is None or not closed:
        return ()
    lost = _lost_letters(normalizer, texts, lowercases=True)
    folds = bool(texts.keys() & TURKIC_I.keys()) and normalizer.normalize_str("I") == "i"
    losses = [*([f"destroys {' '.join(lost)}"] if lost else []), *(["reads I as i"] if folds else [])]
    if not losses:
        return ()
    kinds = " and ".join(dict.fromkeys(closed))
    return (f"Not repaired: the teacher's normalizer ({kinds}) {' and '.join(losses)}, and so does the student's.",)


def _lowercases(step: dict[str, Any]) -> bool:
    return step["type"] == "Lowercase" or (step["type"] == "BertNormalizer" and bool(step["lowercase"]))


def _strips(step: dict[str, Any]) -> bool:
    if step["type"] == "BertNormalizer":
        return bool(step["lowercase"] if step["strip_accents"] is None else step["strip_accents"])
    return bool(step["type"] == "StripAccents")


def _kept_part(step: dict[str, Any]) -> list[Normalizer]:
    if step["type"] in ("Lowercase", "StripAccents"):
        return []
    if step["type"] == "BertNormalizer":
        step = {**step, "strip_accents": False, "lowercase": False}
    model = {"type": "WordLevel", "vocab": {}, "unk_token": ""}
    spec = {"version": "1.0", "added_tokens": [], "normalizer": step, "model": model}
    rest = Tokenizer.from_str(json.dumps(spec)).normalizer
    return [rest, normalizers.NFC()] if step["type"] == "BertNormalizer" else [rest]


def _lost_letters(normalizer: Normalizer, texts: Mapping[str, Iterable[str]], *, lowercases: bool) -> tuple[str, ...]:
    """Return lower-case letters and marks of languages that the normalizer changes, of each the most frequent first."""
    found = (_lost_in(normalizer, own, lowercases and lang in TURKIC_I) for lang, own in texts.items())
    return tuple(dict.fromkeys(chain.from_iterable(found)))


def _lost_in(normalizer: Normalizer, texts: Iterable[str], turkic: bool) -> list[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(unicodedata.normalize("NFC", text.replace("İ", "i") if turkic else text).lower())
    letters = {c: n for c, n in counts.items() if unicodedata.category(c)[0] in "LM"}
    enough = LETTER_SHARE * sum(letters.values())
    # A mark alone is normalized differently from one after a letter, hence the x.
    lost = [
        c
        for c, n in letters.items()
        if n >= enough and _has_mark(c) and c not in unicodedata.normalize("NFC", normalizer.normalize_str("x" + c))
    ]
    return sorted(lost, key=lambda c: (-letters[c], c))


def _has_mark(character: str) -> bool:
    # Hangul syllables decompose too, but into letters: nothing of them is stripped.
    return any(unicodedata.category(c) == "Mn" for c in unicodedata.normalize("NFD", character))


def _strip_marks_except(letters: list[str]) -> list[Normalizer]:
    """Decompose, put the language's letters together again, drop every other combining mark."""
    marks = [c for c in letters if unicodedata.category(c) == "Mn"]
    composed = [c for c in letters if c not in marks]
    # Longest first: ế must not be taken for ê and a mark.
    composed.sort(key=lambda c: -len(unicodedata.normalize("NFD", c)))
    keep = "".join(rf"\x{{{ord(c):X}}}" for c in marks)
    stripped = rf"[{_MARKS}&&[^{keep}]]" if keep else _MARKS
    return [
        normalizers.NFD(),
        *(normalizers.Replace(unicodedata.normalize("NFD", c), c) for c in composed),
        normalizers.Replace(Regex(stripped), ""),
    ]


def _dotless_capital(evidence: str) -> Regex:
    """Match a capital I in a word that only such a language can have written.

    A word with a Ş is Turkish; FIFA, II or Indianapolis in a Turkish text are not, and English has to stay as it was.
    """
    letters = evidence + "".join(c.upper() for c in evidence if c != "ı") + "İ"
    return Regex(rf"(?<=[{letters}]\p{{L}}{{0,{_REACH}}})I|I(?=\p{{L}}{{0,{_REACH}}}[{letters}])")
