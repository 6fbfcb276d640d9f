"""The languages of the balanced corpus: ISO 639-1 codes, names, and the casing rules that matter."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from hub_tools.core.errors import UsageError

# Chosen by the number of readers and speakers, and so that every large script is there; the
# article counts of Wikipedia would favour languages whose articles were written by bots.
LANGUAGES: dict[str, str] = {
    "tr": "Turkish", "en": "English", "de": "German", "fr": "French", "es": "Spanish",
    "it": "Italian", "pt": "Portuguese", "nl": "Dutch", "sv": "Swedish", "da": "Danish",
    "nb": "Norwegian Bokmål", "fi": "Finnish", "pl": "Polish", "cs": "Czech", "sk": "Slovak",
    "hu": "Hungarian", "ro": "Romanian", "bg": "Bulgarian", "sr": "Serbian", "uk": "Ukrainian",
    "ru": "Russian", "el": "Greek", "ar": "Arabic", "fa": "Persian", "he": "Hebrew",
    "ur": "Urdu", "hi": "Hindi", "bn": "Bengali", "ta": "Tamil", "az": "Azerbaijani",
    "kk": "Kazakh", "uz": "Uzbek", "zh": "Chinese", "ja": "Japanese", "ko": "Korean",
    "vi": "Vietnamese", "th": "Thai", "id": "Indonesian", "sw": "Swahili", "ca": "Catalan",
}  # fmt: skip

# Languages that can be the target (or be asked for by --lang) without being in the balanced 40.
MORE_LANGUAGES: dict[str, str] = {
    "af": "Afrikaans", "am": "Amharic", "be": "Belarusian", "bs": "Bosnian", "cy": "Welsh",
    "et": "Estonian", "eu": "Basque", "ga": "Irish", "gl": "Galician", "gu": "Gujarati",
    "ha": "Hausa", "hr": "Croatian", "hy": "Armenian", "ig": "Igbo", "is": "Icelandic",
    "jv": "Javanese", "ka": "Georgian", "km": "Khmer", "kn": "Kannada", "ku": "Kurdish",
    "ky": "Kyrgyz", "la": "Latin", "lo": "Lao", "lt": "Lithuanian", "lv": "Latvian",
    "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi", "ms": "Malay",
    "mt": "Maltese", "my": "Burmese", "ne": "Nepali", "pa": "Punjabi", "ps": "Pashto",
    "si": "Sinhala", "sl": "Slovenian", "so": "Somali", "sq": "Albanian", "te": "Telugu",
    "tg": "Tajik", "tk": "Turkmen", "tl": "Tagalog", "tt": "Tatar", "ug": "Uyghur",
    "xh": "Xhosa", "yo": "Yoruba", "zu": "Zulu",
}  # fmt: skip

# Languages in which I is the capital of dotless ı and İ of i, with letters hardly any other language writes.
TURKIC_I: dict[str, str] = {"tr": "ğış", "az": "əğış"}

# Codes that others use for these languages.
_OTHER_CODES = {"no": "nb", "nn": "nb", "iw": "he", "in": "id", "fil": "tl", "cmn": "zh", "arb": "ar", "pes": "fa"}

# Written without spaces between words: fertility is per character there.
WITHOUT_SPACES = frozenset({"zh", "ja", "th", "km", "lo", "my"})


def name_of(code: str) -> str:
    """Return the English name of a language code."""
    return LANGUAGES.get(code) or MORE_LANGUAGES.get(code) or code


def names_of(codes: Iterable[str]) -> str:
    """Return the English names of languages as one reads them: Turkish, German and English."""
    *first, last = map(name_of, codes)
    return f"{', '.join(first)} and {last}" if first else last


def other_codes(code: str) -> set[str]:
    """Return codes that others use for a language, e.g. cmn for zh."""
    return {other for other, ours in _OTHER_CODES.items() if ours == code}


def wikipedia_code(code: str) -> str:
    """Return the code under which Wikipedia dumps keep the language; one differs from ISO 639-1."""
    return "no" if code == "nb" else code


def check_language(code: str) -> str:
    """Return the code if it is known; else the message of the UsageError names the nearest known codes."""
    known = LANGUAGES | MORE_LANGUAGES
    if code in known:
        return code
    by_name = {name.lower(): known_code for known_code, name in known.items()}
    near = [by_name[name] for name in difflib.get_close_matches(code[:40].lower(), by_name, n=2, cutoff=0.6)]
    # Of tags such as tr-TR, sr-Latn and zh_CN the first part is the language.
    first = re.split("[-_]", code[:40].lower())[0]
    same = _OTHER_CODES.get(first, first)
    if same in known:
        near = [same]
    elif not near:
        near = [other for other in difflib.get_close_matches(first, known, cutoff=0.5) if other[0] == first[0]]
    names = " or ".join(f"{near_code} ({known[near_code]})" for near_code in near)
    hint = f"; did you mean {names}?" if near else "."
    raise UsageError(f"Unknown language code {code[:40]!r}: expected an ISO 639-1 code such as tr{hint}")


def balanced_languages(chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Return the chosen languages first, then English and the rest of the list, as many as that has."""
    ordered = dict.fromkeys((*chosen, "en", *LANGUAGES))
    return tuple(ordered)[: max(len(LANGUAGES), len(chosen))]


def language_order(languages: Iterable[str], targets: tuple[str, ...]) -> list[str]:
    """Return the targets, English, then the rest in the order of the list of languages."""
    known = list(dict.fromkeys((*targets, "en", *LANGUAGES)))
    return sorted(languages, key=lambda lang: known.index(lang) if lang in known else len(known))
