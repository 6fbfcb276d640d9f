"""What the page shows: its texts in both languages, and tables and pictures as HTML."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest

from hub_tools.reporting.report import FullReport
from hub_tools.reporting.sentences import language_name
from hub_tools.reporting.text import left_out
from hub_tools.results import EvaluationRow, Figure
from hub_tools.space import html, map_html, results_html, search, search_html, tokens_html
from hub_tools.space.content import SpaceContent
from hub_tools.space.documents import Documents
from hub_tools.space.hero import hero
from hub_tools.space.i18n import AUTONYMS, TEXTS, page_language, translate
from hub_tools.space.limits import RefusedError
from hub_tools.space.parts import percent
from hub_tools.space.search import Question
from hub_tools.space.service import Service
from tests import fake_run

TEMPLATES = [file for file in (resources.files("hub_tools") / "templates").iterdir() if file.name.endswith(".md")]

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
    assert page_language("en", "tr") == page_language("tr", "de") == "tr"
    named = {language_name(code, "tr") for code in AUTONYMS}
    assert len(named) == len(AUTONYMS)
    assert named.isdisjoint(language_name(code, "en") for code in AUTONYMS)


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
def test_hostile_text_stays_text(service: Service, content: SpaceContent, lang: str) -> None:
    titles = {"teacher": EVIL, "student": EVIL}
    comparison = service.compare(EVIL, "teacher", "student")
    for side in ("first", "second"):
        tokens = comparison[side]["tokens"]
        tokens.append({**tokens[0], "token": EVIL, "shown": EVIL, "shared": False})
        comparison[side]["changed"] = [{"start": 0, "end": 3, "read": EVIL}]
    counts = {EVIL: {EVIL: {"tokens": 2, "unknown_text": 0}, "en": {"tokens": 1, "unknown_text": 0}}}
    evil = replace(content, links={"link_model": EVIL, "link_teacher": EVIL})
    answers = service.search(EVIL, service.corpus("", [EVIL, "x"]), dimension=0, precision="float32", top=2)
    points = {"rows": [0], "texts": [EVIL], "models": {"student": np.zeros((1, 2))}, "nearest": {"student": [[]]}}
    evil_row = EvaluationRow(task=EVIL, split=EVIL, metric=EVIL, n=1, models={EVIL: Figure(value=0.5)}, reason=EVIL)
    page = "".join(
        [
            search_html.answers(answers, Documents((EVIL, "x")), titles, (0, {"teacher": 1, "student": 30}), lang),
            search_html.proof([Question(EVIL, EVIL, 0)], {"teacher": [3], "student": [1]}, 0, lang),
            search_html.ready([EVIL], lang),
            tokens_html.tokens(comparison, EVIL, [(EVIL, EVIL)] * 2, ids=True, window=256, lang=lang, text_lang=EVIL),
            tokens_html.languages(counts, EVIL, lang, note=EVIL),
            hero(evil, lang),
            html.heat_maps([EVIL, EVIL], {"student": [[1.0, 0.2], [0.2, 1.0]]}, titles, lang),
            map_html.maps(points, Documents((EVIL,), topics={lang: (EVIL,)}), titles, lang),
            results_html.judgement(EVIL, [EVIL], EVIL),
            results_html.scores([evil_row], ["teacher", EVIL], EVIL, lang),
            results_html.pictures({"scores.png": b""}, {"scores": EVIL}, lang),
            results_html.links({EVIL: EVIL}),
            html.problem(EVIL),
        ]
    )
    tags = Tags(page)
    assert "script" not in tags.found
    assert tags.events == []
    assert page.count("<img") == page.count('<img alt="') == 1


def test_warnings_and_prompts_stand_beside_the_scores() -> None:
    shown = results_html.judgement("It is worse.", ["Beware."], None)
    assert shown.index("It is worse.") < shown.index("Beware.")
    assert results_html.judgement("Level.", [], None).count("<p") == 1
    row = EvaluationRow(task="STS", split="test", metric="spearman", n=9, models={"student": Figure(value=0.5)})
    table = results_html.scores([row], ["teacher", "trim", "clone", "student"], "Prompts: x.", "tr")
    assert "yalnızca kırpılmış" in table
    assert "Prompts: x." in table


def test_a_count_of_what_a_model_does_not_read_is_marked() -> None:
    report = FullReport.from_dict(fake_run.read_report())
    assert "means nothing" not in results_html.costs(report.costs, "tr", "en")
    costs = report.costs | {"teacher": replace(report.costs["teacher"], tokens_per_word=None)}
    shown = results_html.costs(costs, "tr", "en")
    assert '<td class="ht-num ">?</td>' in shown
    assert shown.count("%") == results_html.costs(report.costs, "tr", "en").count("%") - 1
    assert "its token count means nothing" in shown


def test_percents_are_written_as_each_language_does(content: SpaceContent) -> None:
    assert (percent(0.18, "en"), percent(0.18, "tr"), percent(0.185, "tr")) == ("18%", "%18", "%18,5")
    texts = {lang: [*TEXTS[lang].values(), hero(content, lang)] for lang in TEXTS}
    texts["en"] += [left_out(content.report) or "", *(resource.read_text("utf-8") for resource in TEMPLATES)]
    spaced = [text for text in texts["en"] if re.search(r"[\d}] %", text)]
    behind = [text for text in texts["tr"] if re.search(r"[\d}] ?%(?!\d|\{)", text)]
    assert (spaced, behind) == ([], [])


def test_refusals_are_in_the_language_of_the_page() -> None:
    assert translate("tr", "loaded", number=3) == "3 belge hazır. İlkleri:"
    refusal = RefusedError("error_kind", kinds=".txt")
    assert refusal.translate("tr").startswith("Beklenen")
    assert str(refusal) == "Expected a file of these kinds: .txt."
