"""The page as it is read: in both languages, by mouse, keyboard and touch, with weak eyes, on a phone. In a browser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub_tools.config import RunConfig
from hub_tools.core.languages import LANGUAGES
from hub_tools.reporting.sentences import NAMES
from hub_tools.space.content import SpaceContent
from hub_tools.space.i18n import AUTONYMS, TEXTS
from tests.page_server import needs_browser, open_page, visit

pytestmark = needs_browser

PHONE = {"width": 390, "height": 844}
TABS = {
    "en": ("Tokens", "Search", "Similarity", "All languages", "Results"),
    "tr": ("Tokenlar", "Arama", "Benzerlik", "Tüm diller", "Sonuçlar"),
}
# Each text that is shown, with what it is in and how far its colour is from what is behind it; WCAG 2 computes so.
WEAK = """() => {
  const parse = (text) => { const c = text.match(/[\\d.]+/g).map(Number); return [c[0], c[1], c[2], c[3] ?? 1]; };
  const over = (top, under) => [0, 1, 2].map((i) => top[3] * top[i] + (1 - top[3]) * under[i]);
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest("script, style, svg, [aria-disabled=true], :disabled")) continue;
    const behind = ground(element), ink = over(parse(style.color), behind);
    const [low, high] = [light(behind), light(ink)].sort((a, b) => a - b);
    const large = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? 3 : 4.5)) weak.push(`${ratio.toFixed(2)} ${text.slice(0, 40)} (${element.className})`);
  }
  return weak;
}"""
SMALL = """() => [...document.querySelectorAll("button, a, input, textarea, [role=tab], summary")]
  .filter((e) => e.checkVisibility() && !e.matches("[type=checkbox], [type=radio], [type=range], [type=file], p a"))
  .map((e) => [e, (e.closest("label") ?? e).getBoundingClientRect()])
  .filter(([e, box]) => box.height > 0 && box.height < 44 && !e.closest("footer, .ht-links"))
  .map(([e, box]) => `${Math.round(box.height)} ${e.outerHTML.slice(0, 120)}`)"""


@pytest.fixture(scope="module")
def page(finished: tuple[RunConfig, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with open_page(finished[0].output, tmp_path_factory.mktemp("page"), HF_HUB_OFFLINE="1") as page:
        yield page.address


def walk(tab: Any, lang: str) -> Iterator[str]:
    """Open every tab and do there what can be done."""
    for name in TABS[lang]:
        tab.get_by_role("tab", name=name).click()
        for button, result in (
            ("#ht-search", "#ht-search-out li"),
            ("#ht-measure", ".ht-heat"),
            ("#ht-draw", ".ht-map"),
        ):
            if tab.is_visible(button):
                tab.click(button)
                tab.wait_for_selector(result)
        # Gradio fades what is being made again, and colours of tabs and buttons change slowly.
        tab.wait_for_function("!document.querySelector('.pending, .generating')")
        tab.wait_for_timeout(500)
        yield name


def test_the_switch_changes_the_language_and_keeps_the_rest(browser: Any, page: str) -> None:
    tab = visit(browser, page)
    tab.fill("#ht-text textarea", "Yeni bir metin")
    tab.wait_for_function("location.search.includes('Yeni')")
    tab.get_by_role("link", name="TR").click()
    tab.wait_for_function("document.querySelector('#ht-tokens-out')?.innerText.includes('Öğretmen')")
    assert tab.input_value("#ht-text textarea") == "Yeni bir metin"
    assert tab.evaluate("document.documentElement.lang") == "tr"
    assert "lang=tr" in tab.url
    assert visit(browser, f"{page}?lang=en", locale="tr-TR").get_by_role("tab", name="Tokens").count() == 1


def test_the_box_of_examples_says_what_the_text_is(browser: Any, page: str) -> None:
    tab = visit(browser, page)
    box = "document.querySelector('#ht-example input').value"
    tab.wait_for_function(f"{box} === 'Türkçe'")
    tab.fill("#ht-text textarea", "Yeni bir metin")
    tab.wait_for_function(f"{box} === 'my own text'")
    tab.click("#ht-example input")
    tab.get_by_role("option", name="Deutsch").click()
    tab.wait_for_function("document.querySelector('#ht-text textarea').value.includes(' der ')")
    assert tab.evaluate(box) == "Deutsch"


# What is shown, said or pointed at, but for data: texts that are read or found, ids, commands.
SAID = """() => {
  const data = "script, style, option, footer, .ht-piece, .ht-hits, .ht-heat th, .ht-maps ul, "
    + ".ht-maps [data-place], "
    + ".ht-near li, .ht-near p, .ht-switch, .ht-links a, #ht-text, #ht-command, [lang=tr]:not(html)";
  const said = [];
  for (const element of document.body.querySelectorAll("*")) {
    if (element.closest(data) || !element.checkVisibility()) continue;
    for (const name of ["aria-label", "title", "alt", "placeholder"]) said.push(element.getAttribute(name) ?? "");
    for (const node of element.childNodes) if (node.nodeType === Node.TEXT_NODE) said.push(node.data);
  }
  return said.filter((text) => text.trim());
}"""


def words(texts: Iterable[str]) -> set[str]:
    """Words of small letters; none of what holds other signs, such as ids, addresses, options and {values}."""
    return {word for text in texts for word in re.findall(r"(?<![\w@/.{-])[a-z]{2,}(?![\w@/}-])", text.lower())}


def test_the_turkish_page_has_no_english_in_it(browser: Any, page: str, content: SpaceContent) -> None:
    """No word of the English page, or of the names that code and tables have, unless the Turkish page has it too."""
    own = words([*TEXTS["tr"].values(), *NAMES["tr"].values(), *AUTONYMS.values(), *content.titles.values()])
    english = words([*TEXTS["en"].values(), *NAMES["tr"], *LANGUAGES.values()]) - own
    assert {"the", "of", "turkish", "worse", "found", "sample", "heldout", "step", "millions"} <= english
    tab = visit(browser, f"{page}?lang=tr")
    for name in walk(tab, "tr"):
        found = {text: left for text in tab.evaluate(SAID) if (left := words([text]) & english)}
        assert found == {}, name


def test_letters_are_marked_in_both_panels_by_mouse_keys_and_touch(browser: Any, page: str) -> None:
    def marked(tab: Any) -> list[str]:
        return [
            "".join(tab.locator(f"#ht-tokens-out .ht-tokens:nth-of-type({number}) .marked").all_inner_texts())
            for number in (1, 2)
        ]

    tab = visit(browser, page)
    assert marked(tab) == ["", ""]
    tab.locator("#ht-tokens-out .ht-tokens:nth-of-type(2) .ht-piece").first.hover()
    first, second = marked(tab)
    assert first.startswith(second[:2]) or second.startswith(first[:2])
    assert tab.inner_text(".ht-detail").startswith(second)
    tab.mouse.move(0, 0)
    assert marked(tab) == ["", ""]
    tab.locator("#ht-tokens-out .ht-piece").first.focus()
    before = marked(tab)
    tab.keyboard.press("End")
    tab.keyboard.press("ArrowLeft")
    assert marked(tab) != before
    assert " · id " in tab.inner_text(".ht-detail")
    phone = visit(browser, page, viewport=PHONE, has_touch=True, is_mobile=True)
    phone.locator(".ht-text .ht-piece").last.tap()
    assert all(marked(phone))


def test_arrow_keys_move_between_tabs(browser: Any, page: str) -> None:
    tab = visit(browser, page)
    tab.get_by_role("tab", name="Tokens").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.get_by_role("tab", name="Search").get_attribute("aria-selected") == "true"
    tab.keyboard.press("End")
    assert tab.get_by_role("tab", name="Results").get_attribute("aria-selected") == "true"


def test_the_first_stop_of_the_tab_key_skips_what_is_above_the_tabs(browser: Any, page: str) -> None:
    tab = visit(browser, page)
    assert tab.locator(".ht-skip").bounding_box()["x"] < 0
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "ht-skip"
    box = tab.locator(".ht-skip").bounding_box()
    assert box["x"] >= 0 and box["width"] > 0
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.closest('#ht-tabs') !== null")


def test_languages_are_sorted_by_a_column_below_the_own_one(browser: Any, page: str) -> None:
    tab = visit(browser, f"{page}?tab=languages&own=de")
    names = tab.locator("#ht-languages tbody th")
    tab.wait_for_function("document.querySelector('#ht-languages tbody th')?.innerText.startsWith('German')")
    for backwards in (False, True):
        tab.get_by_role("button", name="language").click()
        shown = [name.split(" ")[0] for name in names.all_inner_texts()]
        assert shown[0] == "German"
        assert shown[1:] == sorted(shown[1:], reverse=backwards)


def test_another_tokenizer_is_compared_when_it_is_asked_for(browser: Any, page: str) -> None:
    tab = visit(browser, page)
    assert not tab.is_visible("#ht-compare")
    tab.get_by_role("button", name="Other tokenizers").click()
    first = tab.get_by_label("First:")
    first.fill("bob/tokenizer")
    first.press("Enter")
    tab.wait_for_selector("#ht-tokens-out .ht-problem")
    assert "The Hub could not be reached" in tab.inner_text("#ht-tokens-out")
    tab.fill("#ht-text textarea", "Yeni")
    tab.wait_for_selector("#ht-tokens-stale .ht-note")
    assert float(tab.evaluate("getComputedStyle(document.querySelector('#ht-tokens-out')).opacity")) < 1
    assert tab.is_visible("#ht-compare")
    first.fill("")
    first.blur()
    tab.wait_for_function("document.querySelector('#ht-tokens-out').innerText.includes('Choose a tokenizer')")
    first.fill("Teacher")
    first.press("Enter")
    tab.wait_for_selector("#ht-tokens-out .ht-piece")
    tab.wait_for_selector("#ht-compare", state="hidden")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(browser: Any, page: str, scheme: str) -> None:
    tab = visit(browser, page, color_scheme=scheme)
    weak = {name: found for name in walk(tab, "en") if (found := tab.evaluate(WEAK))}
    assert weak == {}


def test_fingers_can_hit_everything_on_a_phone(browser: Any, page: str) -> None:
    tab = visit(browser, page, viewport=PHONE, has_touch=True, is_mobile=True)
    assert tab.evaluate("document.querySelector('#ht-tokens-out').getBoundingClientRect().top") < PHONE["height"]
    small = {name: found for name in walk(tab, "en") if (found := tab.evaluate(SMALL))}
    assert small == {}


@pytest.mark.skipif(
    "AXE_CORE" not in os.environ, reason="npm install axe-core, and AXE_CORE=node_modules/axe-core/axe.min.js"
)
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
@pytest.mark.parametrize("lang", TABS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, page: str, scheme: str, lang: str, *, phone: bool) -> None:
    options: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True} if phone else {}
    tab = visit(browser, f"{page}?lang={lang}", color_scheme=scheme, **options)
    tab.add_script_tag(path=Path(os.environ["AXE_CORE"]))
    rules = (
        "axe.run().then((found) => found.violations.map((rule) => `${rule.impact} ${rule.id}: ${rule.nodes[0].html}`))"
    )
    for name in walk(tab, lang):
        found = [said for said in tab.evaluate(rules) if said.startswith(("serious", "critical"))]
        assert found == [], name
