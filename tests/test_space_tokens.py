"""The top of the page and what it shows of tokenizers: a text's own letters, what is lost of them, what it costs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from hub_tools.core.files import hash_file
from hub_tools.corpus.readers import sample_file
from hub_tools.results import Figures
from hub_tools.space import tokenize, tokens_html
from hub_tools.space.content import SpaceContent
from hub_tools.space.hero import hero
from hub_tools.space.limits import RefusedError
from hub_tools.space.service import Service
from hub_tools.space.tokenize import TokenizerView, changed_letters, compare
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

TEXT = "Kütüphane sınav haftalarında açık."
NAMES = [("Teacher", "a"), ("Student", "b")]


def shown(comparison: dict[str, Any], text: str, *, ids: bool = False, lang: str = "en") -> str:
    return tokens_html.tokens(comparison, text, NAMES, ids=ids, window=256, lang=lang)


def panels(page: str) -> list[str]:
    """The texts of both panels, with their tags."""
    return re.findall(r'<div class="ht-text.*?>(.*?)</div>', page, re.DOTALL)


def plain(html: str) -> str:
    return unescape(re.sub(r"<sup>.*?</sup>|<small>.*?</small>|<.*?>", "", html))


@pytest.fixture(scope="module")
def views(small_tokenizers: dict[str, TokenizerSpec], service: Service) -> dict[str, TokenizerView]:
    models = {name: model.tokenizer for name, model in service.content.models.items()}
    return {**{name: TokenizerView(spec) for name, spec in small_tokenizers.items()}, **models}


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "  iki   boşluk\nve satır ",
        "한국어 학교 中文と日本語 กรุงเทพ",
        "Merhaba 👩🏽‍💻 dünya 🎉",
        "مكتبة الجامعة",
        "u\u0308zgu\u0308n <b>&amp;</b>",
    ],
)
def test_the_text_is_shown_letter_for_letter(views: dict[str, TokenizerView], text: str) -> None:
    for first in views.values():
        page = shown(compare(text, first, views["student"]), text)
        assert [plain(panel) for panel in panels(page)] == [text, text]


def test_letters_that_a_normalizer_changes_are_found(service: Service) -> None:
    comparison = service.compare(TEXT, "teacher", "student")
    found = [(TEXT[c["start"] : c["end"]], c["read"]) for c in comparison["first"]["changed"]]
    assert found == [("ü", "u"), ("ü", "u"), ("ç", "c")]
    assert comparison["second"]["changed"] == []
    first, second = panels(shown(comparison, TEXT))
    assert first.count('<i class="ht-lost">') == 3
    assert "ht-lost" not in second
    assert "ü → u" in first


def test_case_and_other_forms_of_a_letter_are_no_loss() -> None:
    lower = {"I": "ı", "İ": "i"}

    def turkish(letter: str) -> str:
        return lower.get(letter, letter.lower())

    assert list(changed_letters("IŞIK İzmir ﬁ … 中", lambda letter: f"▁{turkish(letter)} ")) == []
    assert [c["read"] for c in changed_letters("a\u0301 b\x07", lambda letter: letter.strip("\u0301\x07"))] == ["a", ""]


def test_pieces_of_a_word_share_a_colour_and_differ_in_shade(service: Service) -> None:
    first, second = panels(shown(service.compare(TEXT, "teacher", "student"), TEXT))
    words: dict[int, list[str]] = {}
    for kinds, start in re.findall(r'class="ht-piece (.*?)".*?data-start="(\d+)"', first):
        words.setdefault(TEXT[: int(start)].count(" "), []).append(kinds)
    for number, pieces in words.items():
        assert {kinds.split()[0] for kinds in pieces} == {f"w{number % 2}"}
        assert [kinds.split()[1] for kinds in pieces] == [f"p{place % 2}" for place in range(len(pieces))]
    assert " new" not in first
    assert re.search(r'class="ht-piece w0 p0 new".*?>Kütüphan', second)


def test_every_panel_is_one_stop_of_the_tab_key(service: Service) -> None:
    for panel in panels(shown(service.compare(f" {TEXT}", "teacher", "student"), f" {TEXT}")):
        assert panel.count('tabindex="0"') == 1
        assert panel.count('role="button"') == panel.count("aria-label=") > 1


def test_ids_are_shown_when_asked_for(service: Service) -> None:
    comparison = service.compare(TEXT, "teacher", "student")
    number = f"<small>{comparison['first']['tokens'][0]['id']}</small>"
    assert number in shown(comparison, TEXT, ids=True)
    assert number not in shown(comparison, TEXT)


def test_the_verdict_says_what_the_tokens_are_worth(service: Service) -> None:
    there, back = (service.compare(TEXT, *names) for names in (("teacher", "student"), ("student", "teacher")))
    a, b = there["first"]["count"], there["second"]["count"]
    share = f"{100 * (1 - b / a):.0f}%"
    page = shown(there, TEXT)
    assert f"<strong>{a} → {b} tokens, {share} fewer.</strong>" in page
    assert f"hold about {256 * 4 / b:.0f} words of such text instead of {256 * 4 / a:.0f}." in page
    assert f"<strong>{b} → {a} tokens, {100 * (a / b - 1):.0f}% more.</strong>" in shown(back, TEXT)
    assert f"%{share.strip('%')} daha az" in shown(there, TEXT, lang="tr")
    same = service.compare(TEXT, "student", "student")
    assert f"<strong>Both need {b} tokens.</strong>" in shown(same, TEXT)
    assert "There are no tokens in this text." in shown({**same, "first": {**same["first"], "count": 0}}, TEXT)


def test_texts_without_spaces_are_measured_in_characters(service: Service) -> None:
    text = "図書館は試験期間中は夜九時まで開いています。"
    comparison = service.compare(text, "teacher", "student")
    for side in ("first", "second"):
        comparison[side] |= {"unknown_text": 0}
    comparison["second"] |= {"count": comparison["first"]["count"] - 1}
    assert "characters of such text" in shown(comparison, text)


def test_a_text_that_cannot_be_read_saves_no_tokens(service: Service) -> None:
    page = shown(service.compare("ꦗꦮ ꦏꦸꦭ", "teacher", "student"), "ꦗꦮ ꦏꦸꦭ")
    assert "Teacher cannot read 100% of this text" in page
    assert "fewer" not in page
    assert page.count("cannot read 100% of it") == 2
    assert page.count("<b>?</b>") == 2
    assert "unknown: cannot be read" in page


def test_counts_of_known_tokenizers_need_no_hub_and_are_of_the_samples_sentences(service: Service) -> None:
    """They are made anew when the sentences change: scripts/known_tokenizers.py."""
    made = json.loads((Path(tokenize.__file__).parent / "known.json").read_text())
    assert made["sentences"] == hash_file(sample_file("languages.tsv"))
    languages = set(service.count_languages("student"))
    tax = {}
    for name in made["counts"]:
        found = service.count_languages(name)
        assert set(found) == languages, name
        assert max(own["unknown_text"] for own in found.values()) < 0.01, name  # each reads them all
        tax[name] = found["tr"]["tokens"] / found["en"]["tokens"]
    assert len(tax) == 8
    assert 1 < min(tax.values()) == tax["intfloat/multilingual-e5-small"] < 1.3
    assert max(tax.values()) == tax["openai-community/gpt2"] > 2


def test_more_tokenizers_stand_below_the_two(service: Service) -> None:
    comparison = service.compare(TEXT, "teacher", "student")
    other = service.compare(TEXT, "teacher", "student")["first"]
    names = [*NAMES, ("Third", "c"), ("Fourth", "d")]
    page = tokens_html.tokens(comparison, TEXT, names, others=[other, other], ids=False, window=256, lang="en")
    assert re.findall("<h2>(.*?)</h2>", page) == ["Teacher", "Student", "Third", "Fourth"]
    assert [plain(panel) for panel in panels(page)] == [TEXT] * 4
    # What is said is of the two that are compared.
    assert page.count("ht-verdict") == 1
    assert " new" not in panels(page)[2]


def test_families_are_compared_by_the_text_of_their_tokens(views: dict[str, TokenizerView]) -> None:
    byte_level, wordpiece = views["byte-level"], views["wordpiece"]
    found = compare("the house", byte_level, wordpiece)
    assert any(t["token"].startswith("Ġ") and t["shared"] for t in found["first"]["tokens"])
    assert found["both"] > 500


# -- all languages


def figures(tokens: int, unknown: float = 0) -> Figures:
    return {"tokens": tokens, "unknown_text": unknown}


COUNTS = {
    "Teacher": {"tr": figures(200), "en": figures(100), "de": figures(150), "th": figures(10, 0.9)},
    "Student": {"tr": figures(120), "en": figures(100), "de": figures(180), "th": figures(5, 0.95)},
}


def test_languages_cost_tokens_against_english() -> None:
    page = tokens_html.languages(COUNTS, "tr", "en")
    assert "The same sentences in Turkish, against English:" in page
    assert "Teacher <strong>2.00×</strong>, Student <strong>1.20×</strong>" in page
    assert '<td class="ht-num good" data-value="-0.4000">−40%</td>' in page
    assert '<td class="ht-num bad" data-value="0.2000">+20%</td>' in page
    # The change stands beside the two that it is of, and a third tokenizer after it, by its name alone.
    three = tokens_html.languages({**COUNTS, "owner/third": COUNTS["Teacher"]}, "tr", "en")
    heads = re.findall(r'class="ht-sort">(.*?)</button>', three)
    assert heads == ["language", "Teacher", "Student", "change", "third"]
    cells = re.findall('data-value="(.*?)"', three[three.index("<tbody>") : three.index("</tbody>")])
    assert cells == ["Turkish", "2.0000", "1.2000", "-0.4000", "2.0000"]
    # The own language stands above, the others follow by what they cost the first tokenizer.
    assert re.findall(r'<th scope="row" data-value="(.*?)"', page) == ["Turkish", "German", "English", "Thai"]
    assert page.index("</tbody><tbody>") < page.index("German")


def test_a_language_that_cannot_be_read_has_no_figure() -> None:
    page = tokens_html.languages(COUNTS, "th", "en")
    row = page[page.index('data-value="Thai"') : page.index("</tr>", page.index('data-value="Thai"'))]
    assert row.count("unreadable") == 2
    assert "×" not in row
    assert "%</td>" not in row
    assert "Teacher <strong>cannot read 90% of it</strong>" in page


def test_the_sample_is_counted_in_forty_languages(service: Service, views: dict[str, TokenizerView]) -> None:
    counts = service.count_languages("teacher")
    assert len(counts) == 40
    assert counts["tr"]["tokens"] > counts["en"]["tokens"] > 0
    assert "Türkçe" in tokens_html.languages({"Teacher": counts}, "tr", "en")
    assert "1,00×" in tokens_html.languages({"Teacher": counts}, "tr", "tr")
    for name, key in ((" ", "error_no_tokenizer"), ("no id", "error_id")):
        with pytest.raises(RefusedError) as refusal:
            service.count_languages(name)
        assert refusal.value.key == key
    assert service.count_languages("Teacher") == counts


# -- the top


def test_the_top_says_what_the_run_measured(content: SpaceContent) -> None:
    report = content.report
    assert report.tokenizer.parity is not None
    before, after = (f"{report.tokenizer.parity[name]:.1f}" for name in ("teacher", "student"))
    page = hero(replace(content, links={"link_model": "https://huggingface.co/a/b"}), "en")
    words = [report.tokenizer.measures["tr"][name]["tokens_per_word"] for name in ("teacher", "student")]
    fewer = f"{1 - words[1] / words[0]:.0%}"
    assert f"<h1>{content.titles['teacher']}, rebuilt for Turkish: {fewer} fewer tokens</h1>" in page
    assert f"Turkish costs the teacher {before}× as many tokens as English, the student {after}×. " in page
    assert f"{words[0]:.2f} → {words[1]:.2f} per word" in page
    assert f"{report.teacher.params / 1e6:.1f} → {report.student.params / 1e6:.1f} M" in page
    assert page.count("<b>") == 5
    assert '<a href="https://huggingface.co/a/b"' in page
    assert before.replace(".", ",") in hero(content, "tr")
    assert 'href="?lang=tr" data-lang="tr" lang="tr" hreflang="tr">TR' in page


def test_the_top_says_no_more_than_was_measured(content: SpaceContent) -> None:
    report = content.report
    bare = replace(report, tokenizer=replace(report.tokenizer, parity=None), evaluation=[], costs={})
    page = hero(replace(content, report=bare), "en")
    assert "as many tokens as" not in page
    assert page.count("<b>") == 3
    own = report.tokenizer.measures["tr"]
    # Where the tokens are as many, a smaller model is the gain; where that is as large too, nothing is.
    level = replace(report.tokenizer, measures={"tr": {**own, "student": own["teacher"]}})
    for size, gain in ((0.75, ": 25% smaller"), (1.0, "")):
        student = replace(report.student, params=int(size * report.teacher.params))
        page = hero(replace(content, report=replace(report, tokenizer=level, student=student)), "en")
        assert f", rebuilt for Turkish{gain}</h1>" in page
    unread = {"tr": {**own, "teacher": {**own["teacher"], "unknown_text": 0.5}}}
    page = hero(replace(content, report=replace(report, tokenizer=replace(report.tokenizer, measures=unread))), "en")
    assert "cannot read Turkish. This version can.</h1>" in page
    assert "per word" not in page
