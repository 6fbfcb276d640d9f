"""Search, map, links and phones in a real browser, as visitors do it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub_tools.config import RunConfig
from hub_tools.space.search import SampleQuestions, sample_documents
from hub_tools.space.vector_cache import VectorCache
from tests.page_server import needs_browser, open_page, patience

pytestmark = needs_browser
PHONE = {"width": 390, "height": 844}
FOUND = "#ht-search-out .ht-hits li"


@pytest.fixture(scope="module")
def page(finished: tuple[RunConfig, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page that shows the finished run."""
    folder = tmp_path_factory.mktemp("page")
    with open_page(finished[0].output, folder, HF_HUB_OFFLINE="1", SPACE_ID="ada/demo") as server:
        yield server.address


def opened(browser: Any, address: str, **options: Any) -> Any:
    context = browser.new_context(**{"locale": "en-US", "viewport": {"width": 1440, "height": 900}, **options})
    tab = context.new_page()
    tab.set_default_timeout(patience())
    tab.goto(address)
    return tab


def test_the_search_opens_with_an_answer_and_a_proof(browser: Any, page: str) -> None:
    # A student of random weights has the right passage further down: as many hits as the page counts.
    tab = opened(browser, f"{page}?tab=search&top=20")
    tab.wait_for_selector(FOUND)
    questions = SampleQuestions(VectorCache(), sample_documents()["passages"]).questions
    asked = tab.input_value("#ht-query textarea")
    question = next(question for question in questions if question.text == asked)
    assert question.english in tab.inner_text("#ht-search-out")
    assert "Right passage first: teacher" in tab.inner_text("#ht-search-out .ht-lead")
    # What is marked is right, and what is said of it is so.
    passage = sample_documents()["passages"].texts[question.passage]
    for side in ("teacher", "student"):
        hits = tab.locator(f".ht-side.{side} .ht-hits li").all_inner_texts()
        marked = [number for number, hit in enumerate(hits, 1) if "✓ answers the question" in hit]
        assert all(passage in hits[number - 1] for number in marked)
        said = f"#{marked[0]}" if marked else "not in the first 20"
        assert tab.inner_text(f".ht-side.{side} .ht-place") == f"right passage: {said}"
        # The page opens with a question that the student answers; its teacher may not.
        assert len(marked) == 1 or (side == "teacher" and not marked)
    assert tab.locator("#ht-search-out [lang=tr]").count() >= 10
    # A question to try is asked when it is pressed.
    chip = tab.locator(".ht-chips button").nth(2)
    chosen = chip.get_attribute("data-query")
    chip.click()
    tab.wait_for_function("text => document.querySelector('#ht-query textarea').value === text", arg=chosen)
    english = next(question.english for question in questions if question.text == chosen)
    tab.wait_for_function("text => document.querySelector('#ht-search-out .ht-en').innerText === text", arg=english)
    assert tab.locator(".ht-all li").count() == 60


def test_a_link_runs_what_it_names(browser: Any, page: str) -> None:
    tab = opened(browser, f"{page}?tab=search&q=tren+neden+durdu&corpus=sentences&top=2")
    tab.wait_for_selector(FOUND)
    assert "Searched 1,800 documents" in tab.inner_text("#ht-search-out")
    assert tab.locator(FOUND).count() == 4
    tab = opened(browser, f"{page}?tab=similarity&sentences=ev%0Adeniz%0Akedi&map=passages")
    tab.wait_for_selector(".ht-heat")
    assert tab.locator(".ht-heat").first.locator("tbody th span").all_inner_texts() == ["ev", "deniz", "kedi"]
    assert "Closest in meaning: for the teacher " in tab.inner_text("#ht-similarity-out")
    # Results begin where the fields begin.
    left = [tab.locator(name).first.bounding_box()["x"] for name in ("#ht-sentences", ".ht-panel:has(.ht-heat)")]
    assert abs(left[0] - left[1]) <= 1  # fields have a border
    tab.wait_for_selector(".ht-maps path")
    # The topics are named, and a dot says what is nearest to it in both maps; arrow keys walk.
    assert "Volcanoes" in tab.inner_text(".ht-groups")
    dots = tab.locator(".ht-maps section, .ht-maps .ht-panel").first.locator("path")
    assert dots.count() == 120
    dots.nth(0).focus()
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.dataset.place") == "1"
    assert tab.locator(".ht-maps path.on").count() == 2
    near = tab.locator(".ht-near")
    assert [near.nth(number).locator("li").count() for number in range(2)] == [5, 5]
    assert "Çiçekten toplanan nektar" in near.first.inner_text()


def test_links_are_copied_and_back_returns_to_the_tab_before(browser: Any, page: str) -> None:
    tab = opened(browser, page, permissions=["clipboard-read", "clipboard-write"])
    tab.wait_for_selector("#ht-tokens-out .ht-piece", state="attached")
    tab.get_by_role("tab", name="Search").click()
    tab.wait_for_selector(FOUND)
    tab.fill("#ht-query textarea", "arılar")
    tab.click("#ht-search")
    tab.wait_for_function("window.location.search.includes('q=ar')")
    assert not tab.is_visible("#ht-link")
    tab.click("#ht-copy")
    tab.wait_for_selector("#ht-link.copied")
    link = tab.evaluate("navigator.clipboard.readText()")
    assert link.startswith("https://huggingface.co/spaces/ada/demo?")
    assert "tab=search" in link
    assert tab.inner_text(".ht-address") == link
    assert not tab.is_visible(".ht-too_long")
    tab.get_by_role("tab", name="Results").click()
    tab.wait_for_selector("#ht-scores tbody tr")
    tab.go_back()
    tab.wait_for_selector("#ht-query")
    assert tab.get_by_role("tab", name="Search").get_attribute("aria-selected") == "true"
    tab.go_back()
    tab.wait_for_selector("#ht-text")
    tab.fill("#ht-text textarea", "uzun " * 400)
    tab.wait_for_function("!window.location.search.includes('text=')")
    tab.wait_for_timeout(500)
    tab.click("#ht-copy")
    tab.wait_for_selector(".ht-too_long", state="visible")


def test_own_documents_are_searched_as_pasted_or_read_from_a_file(browser: Any, page: str, tmp_path: Path) -> None:
    tab = opened(browser, f"{page}?tab=search")
    tab.wait_for_selector(FOUND)
    tab.get_by_label("my own").check()
    tab.click("#ht-search")
    tab.wait_for_function("document.querySelector('#ht-search-out').innerText.includes('Paste your documents first')")
    tab.fill("#ht-paste textarea", "Arılar bal yapar.\nTren gecikti.\nKedi uyuyor.\nHava güzel.")
    tab.click("#ht-search")
    tab.wait_for_function("document.querySelector('#ht-search-out').innerText.includes('Searched 4')")
    tab.wait_for_selector(".ht-first li")
    assert tab.locator(".ht-first li").all_inner_texts() == ["Arılar bal yapar.", "Tren gecikti.", "Kedi uyuyor."]
    assert "Ar%C4%B1lar" not in tab.url
    tab.get_by_label("File", exact=True).check()
    tab.wait_for_function("!document.querySelector('.ht-first')")
    (tmp_path / "a.csv").write_text("id,başlık,metin\n1,Arı,Arılar bal yapar.\n2,Tren,Tren gecikti.\n")
    tab.set_input_files("#ht-file input[type=file]", tmp_path / "a.csv")
    tab.wait_for_function("document.querySelector('#ht-ready').innerText.includes('2 documents')")
    tab.click("#ht-search")
    tab.wait_for_function("document.querySelector('#ht-search-out').innerText.includes('Searched 2')")
    # What is refused leaves nothing of before.
    (tmp_path / "b.txt").write_bytes(b"\0\0")
    clear = tab.locator("#ht-file").get_by_role("button", name=re.compile("clear|remove", re.IGNORECASE)).first
    # It is read too if it is chosen before the page has answered that the one before is gone.
    held: list[Any] = []
    holds = True
    tab.route("**/queue/join*", lambda route: held.append(route) if holds else route.continue_())
    clear.click()
    with tab.expect_response("**/upload*"):
        tab.set_input_files("#ht-file input[type=file]", tmp_path / "b.txt")
    tab.wait_for_timeout(500)
    holds = False
    for route in held:
        route.continue_()
    tab.wait_for_function("document.querySelector('#ht-ready').innerText.includes('zero bytes')")
    tab.click("#ht-search")
    tab.wait_for_function("document.querySelector('#ht-search-out').innerText.includes('Paste your documents first')")


def test_nothing_that_gradio_says_in_english_of_a_waiting_request_is_shown(browser: Any, page: str) -> None:
    tab = opened(browser, f"{page}?tab=search&lang=tr")
    tab.wait_for_selector(".ht-hits li")
    tab.route("**/queue/join*", lambda route: None)  # it waits for ever
    tab.click("#ht-search")
    tab.wait_for_selector(".meta-text", state="attached")
    assert not any(text.is_visible() for text in tab.locator(".meta-text, .meta-text-center").all())


def test_a_phone_shows_answers_after_a_search_and_one_model_at_a_time(browser: Any, page: str) -> None:
    tab = opened(browser, f"{page}?tab=search", viewport=PHONE, has_touch=True, color_scheme="dark")
    tab.wait_for_selector(".ht-side.student .ht-hits li")
    assert not tab.is_visible(".ht-side.teacher")
    assert tab.evaluate("window.scrollY") == 0
    tab.tap("#ht-search")
    tab.wait_for_function("document.querySelector('.ht-answers').getBoundingClientRect().top < 200")
    tab.tap("label[for=ht-side-teacher]")
    assert tab.is_visible(".ht-side.teacher")
    assert not tab.is_visible(".ht-side.student")
    # Three lines of a text, until it is touched; its English likewise.
    text = tab.locator(".ht-side.teacher .ht-clamp").first
    short = text.bounding_box()["height"]
    text.tap()
    tab.wait_for_function("document.querySelector('.ht-side.teacher .ht-clamp.open')")
    assert text.bounding_box()["height"] > short
    # The tabs are on one line, and everything to touch is large enough.
    tops = {round(box["y"]) for box in (one.bounding_box() for one in tab.locator("[role=tab]").all()) if box}
    assert len(tops) == 1
    small = """[...document.querySelectorAll('[role=tab], #ht-search, #ht-copy, .ht-chips button, label[for^=ht-side]')]
      .filter(e => e.offsetParent && e.getBoundingClientRect().height < 44).map(e => e.outerHTML.slice(0, 100))"""
    assert tab.evaluate(small) == []
    tab.get_by_role("tab", name="Results").click()
    tab.wait_for_selector("#ht-scores tbody tr")
    # The student's column is on the screen; those between it and the teacher's are not shown.
    assert tab.locator(".ht-scores .between").first.is_hidden()
    head = tab.locator(".ht-scores thead th").filter(has_text="student").first.bounding_box()
    assert head["x"] + head["width"] <= PHONE["width"]
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"] + 1


def test_a_phone_shows_the_open_tab_and_whole_tables(browser: Any, page: str) -> None:
    tab = opened(browser, f"{page}?tab=languages", viewport=PHONE, has_touch=True)
    tab.wait_for_selector("#ht-languages tbody tr")

    def is_whole(selector: str) -> bool:
        box = tab.locator(selector).first.bounding_box()
        return bool(box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"])

    tab.wait_for_function("document.querySelector('[aria-selected=true]').getBoundingClientRect().right <= innerWidth")
    for lang in ("tr", "en"):  # the Turkish words are longer
        tab.goto(f"{page}?tab=languages&lang={lang}")
        tab.wait_for_selector("#ht-languages tbody tr")
        assert is_whole("#ht-languages caption")
        assert is_whole("#ht-languages thead th:last-child")
        assert is_whole("#ht-languages tbody td:last-child")
    # The buttons below stand side by side.
    buttons = [tab.locator(name).bounding_box() for name in ("#ht-copy", "#ht-share a")]
    assert buttons[0]["y"] == buttons[1]["y"]
    links = tab.locator(".ht-bar-top").get_by_role("link", name="Code")
    assert links.get_attribute("href") == "https://pypi.org/project/hub-tools/"
    tab.goto(f"{page}?tab=results")
    tab.wait_for_selector("#ht-command .cm-line:has-text('--vocab-size')")
    wide = "(e => e.scrollWidth > e.clientWidth)(document.querySelector('#ht-command .cm-scroller'))"
    assert not tab.evaluate(wide)
    tab.goto(f"{page}?tab=similarity")
    tab.wait_for_selector(".ht-heat")
    assert is_whole(".ht-heat thead th:last-child")
