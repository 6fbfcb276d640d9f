"""What the page shows: its texts in both languages, and tables and pictures as HTML."""

from __future__ import annotations

import string
from html.parser import HTMLParser

import numpy as np
import pytest

from hub_tools.core.languages import WITHOUT_SPACES
from hub_tools.results import EvaluationRow, Figure, Figures
from hub_tools.space import html, map_html, results, results_html, search, search_html
from hub_tools.space.content import SpaceContent
from hub_tools.space.documents import Documents
from hub_tools.space.i18n import AUTONYMS, TEXTS, page_language, translate
from hub_tools.space.limits import RefusedError
from hub_tools.space.search import Question
from hub_tools.space.service import Service

EVIL = "<img src=x onerror=\"fetch('//evil')\"><script>alert(1)</script>\"'&\u202e\x00"


def test_both_languages_have_all_texts_with_the_same_values() -> None:
    def names(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    english, turkish = TEXTS["en"], TEXTS["tr"]
    assert english.keys() == turkish.keys()
    assert [key for key, text in english.items() if names(text) != names(turkish[key])] == []
    assert all([*english.values(), *turkish.values()])
    assert set(search.sample_languages()) == set(AUTONYMS)
    for accepted, lang in (
        ("tr-TR,tr;q=0.9,en;q=0.8", "tr"),
        ("en-US,tr", "en"),
        ("", "en"),
        ("trv", "en"),
        ("TR", "tr"),
    ):
        assert page_language(accepted) == lang


class Tags(HTMLParser):
    """Names of the tags, and attributes that could run something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.events: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.events += [name for name, _ in attrs if name.startswith("on")]


@pytest.mark.parametrize("lang", ["en", "tr"])
def test_hostile_text_stays_text(service: Service, lang: str) -> None:
    titles = {"teacher": EVIL, "student": EVIL}
    comparison = service.compare(EVIL, "teacher", "student")
    for side in ("first", "second"):
        tokens = comparison[side]["tokens"]
        tokens.append({**tokens[0], "token": EVIL, "shown": EVIL, "shared": False})
    answers = service.search(EVIL, service.corpus("", [EVIL, "x"]), dimension=0, precision="float32", top=2)
    points = {"rows": [0], "texts": [EVIL], "models": {"student": np.zeros((1, 2))}, "nearest": {"student": [[]]}}
    evil_row = EvaluationRow(task=EVIL, split=EVIL, metric=EVIL, n=1, models={EVIL: Figure(value=0.5)}, reason=EVIL)
    page = "".join(
        [
            html.tokens(comparison, (EVIL, EVIL), ids=True, window=256, lang=lang),
            search_html.answers(answers, Documents((EVIL, "x")), titles, (0, {"teacher": 1, "student": 30}), lang),
            search_html.proof([Question(EVIL, EVIL, 0)], {"teacher": [3], "student": [1]}, 0, lang),
            search_html.ready([EVIL], lang),
            html.heat_maps([EVIL, EVIL], {"student": [[1.0, 0.2], [0.2, 1.0]]}, titles, lang),
            map_html.maps(points, Documents((EVIL,), topics={lang: (EVIL,)}), titles, lang),
            results_html.judgement(EVIL, [EVIL], lang),
            results_html.scores([evil_row], ["teacher", EVIL], EVIL, lang),
            results_html.pictures({EVIL: b""}, {EVIL: EVIL}, lang),
            results_html.links({EVIL: EVIL}),
            html.problem(EVIL),
            html.languages([(EVIL, tokens_per_word(1.0), tokens_per_word(2.0))], lang),
        ]
    )
    tags = Tags(page)
    assert "script" not in tags.found
    assert tags.events == []
    assert page.count("<img") == page.count('<img alt="') == 1


def tokens_per_word(value: float, unknown: float = 0) -> Figures:
    return {"tokens_per_word": value, "unknown_tokens": unknown / 2, "unknown_text": unknown}


def test_languages_that_are_not_read_are_marked_and_save_nothing() -> None:
    rows = [("tr", tokens_per_word(2.0), tokens_per_word(1.0)), ("th", tokens_per_word(0.2, 0.9), tokens_per_word(0.1))]
    chart = html.languages(rows, "en")
    assert "<span>0.20?</span> <small>45% [UNK]</small>" in chart
    assert "? More than 2% of the characters are unknown" in chart
    assert chart.count("−50%") == 1
    assert chart.count("unread") == 1
    assert "%45 [UNK]" in html.languages(rows, "tr")
    assert "?" not in html.languages(rows[:1], "en")


def test_languages_are_sorted_by_what_the_teacher_needs(content: SpaceContent) -> None:
    order = [lang for lang, *_ in results.language_rows(content.report)]
    measures = content.report.tokenizer.measures
    counts = [measures[lang]["teacher"]["tokens_per_word"] for lang in order[1:] if lang not in WITHOUT_SPACES]
    assert order[0] == "tr"
    assert counts == sorted(counts, reverse=True)
    assert set(order[-3:]) == {"ja", "th", "zh"}


def test_a_text_that_cannot_be_read_saves_no_tokens(service: Service) -> None:
    titles = ("A", "B")
    said = html.tokens(service.compare("ꦗꦮ ꦏꦸꦭ", "teacher", "student"), titles, ids=False, window=64, lang="en")
    assert "A cannot read 100% of this text" in said
    assert "less work" not in said


def test_warnings_and_prompts_stand_beside_the_scores() -> None:
    shown = results_html.judgement("It is worse.", ["Beware."], "en")
    assert shown.index("It is worse.") < shown.index("Beware.")
    assert results_html.judgement("Level.", [], "tr").count("<p") == 1
    row = EvaluationRow(task="STS", split="test", metric="spearman", n=9, models={"student": Figure(value=0.5)})
    table = results_html.scores([row], ["teacher", "trim", "clone", "student"], "Prompts: x.", "tr")
    assert "yalnızca kırpılmış" in table
    assert "Prompts: x." in table


def test_numbers_are_written_as_the_language_does(service: Service) -> None:
    rows = results.language_rows(service.content.report)
    assert len(rows) == 40
    assert rows[0][0] == "tr"
    before, after = (found["tokens_per_word"] for found in rows[0][1:])
    assert f"{before:.2f}".replace(".", ",") in html.languages(rows, "tr")
    percent = f"{abs(100 * (after / before - 1)):.0f}"
    assert f"−%{percent}" in html.languages(rows, "tr")
    assert f"−{percent}%" in html.languages(rows, "en")
    assert html.languages([], "en") == ""


def test_runs_of_languages_without_spaces_alone_have_a_chart() -> None:
    pairs = {"ja": (0.8, 0.4), "zh": (0.9, 0.6)}
    chart = html.languages([(lang, *map(tokens_per_word, pair)) for lang, pair in pairs.items()], "en")
    assert "日本語" in chart
    assert 'style="width:100.0%"' in chart


def test_languages_without_spaces_do_not_set_the_scale_of_the_others() -> None:
    pairs = {"tr": (2.0, 1.0), "ja": (8.0, 4.0)}
    chart = html.languages([(lang, *map(tokens_per_word, pair)) for lang, pair in pairs.items()], "en")
    assert chart.count('style="width:100.0%"') == 3
    assert chart.count('style="width:50.0%"') == 1


def test_refusals_are_in_the_language_of_the_page() -> None:
    assert translate("tr", "loaded", number=3) == "3 belge hazır. İlkleri:"
    refusal = RefusedError("error_kind", kinds=".txt")
    assert refusal.translate("tr").startswith("Beklenen")
    assert str(refusal) == "Expected a file of these kinds: .txt."
