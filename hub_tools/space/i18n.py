"""The texts of the page in every language: texts/en.toml and the files beside it, and what reports say."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources

from hub_tools.core.languages import names_of
from hub_tools.reporting.sentences import SENTENCES, language_name

LANGUAGES = ("en", "tr")


def _read_texts(lang: str) -> dict[str, str]:
    file = resources.files("hub_tools") / "space" / "texts" / f"{lang}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


# Language -> key -> text.
TEXTS: dict[str, dict[str, str]] = {lang: SENTENCES[lang] | _read_texts(lang) for lang in LANGUAGES}

# The languages of the sample and of most runs, each in itself.
AUTONYMS: dict[str, str] = {
    "tr": "Türkçe", "en": "English", "de": "Deutsch", "fr": "Français", "es": "Español", "it": "Italiano",
    "pt": "Português", "nl": "Nederlands", "sv": "Svenska", "da": "Dansk", "nb": "Norsk bokmål", "fi": "Suomi",
    "pl": "Polski", "cs": "Čeština", "sk": "Slovenčina", "hu": "Magyar", "ro": "Română", "bg": "Български",
    "sr": "Српски", "uk": "Українська", "ru": "Русский", "el": "Ελληνικά", "ar": "العربية", "fa": "فارسی",
    "he": "עברית", "ur": "اردو", "hi": "हिन्दी", "bn": "বাংলা", "ta": "தமிழ்", "az": "Azərbaycanca",
    "kk": "Қазақша", "uz": "Oʻzbekcha", "zh": "中文", "ja": "日本語", "ko": "한국어", "vi": "Tiếng Việt",
    "th": "ไทย", "id": "Bahasa Indonesia", "sw": "Kiswahili", "ca": "Català",
}  # fmt: skip


def language_names(codes: Sequence[str], lang: str) -> str:
    """Return names of languages as one reads them: Turkish, German and English."""
    return " ve ".join(language_name(code, lang) for code in codes) if lang == "tr" else names_of(codes)


def translate(lang: str, key: str, **values: object) -> str:
    """Return a text of the page in one of `LANGUAGES`, with the values that it names filled in."""
    return TEXTS[lang][key].format(**values)


def page_language(accepted: str, chosen: str = "") -> str:
    """Return the language of the page: the chosen one, or the first of an Accept-Language header (`tr-TR,tr;q=0.9`)."""
    if chosen in LANGUAGES:
        return chosen
    first = accepted.partition(",")[0].partition(";")[0].partition("-")[0].strip().lower()
    return first if first in LANGUAGES else "en"
