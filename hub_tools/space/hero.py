"""The top of the page: what it is about in one number, the figures that matter, links, and the switch of languages."""

from __future__ import annotations

from html import escape
from pathlib import Path

from hub_tools.core.languages import WITHOUT_SPACES
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.sentences import language_name
from hub_tools.results import EvaluationRow, is_read
from hub_tools.space.content import SpaceContent
from hub_tools.space.i18n import LANGUAGES, language_names, translate
from hub_tools.space.parts import change, number, percent

# The first of these that was measured stands at the top: name of the measure, key of its text.
_SCORES = (("recall@1", "card_found"), ("ndcg@10", "card_ndcg"), ("spearman", "card_sts"))


def hero(content: SpaceContent, lang: str) -> str:
    """Return the top of the page."""
    report = content.report
    cards = "".join(
        f"<li><b>{escape(value)}</b> <span>{escape(said)}</span></li>" for value, said in _cards(report, lang)
    )
    outside = 'target="_blank" rel="noopener noreferrer"'
    links = "".join(
        f'<li><a href="{escape(address)}" {outside}>{escape(translate(lang, key))}</a></li>'
        for key, address in content.links.items()
    )
    languages = "".join(
        f'<li><a href="?lang={code}" data-lang="{code}" lang="{code}" hreflang="{code}"'
        f"{' aria-current=true' if code == lang else ''}>{code.upper()}</a></li>"
        for code in LANGUAGES
    )
    about = translate(lang, "subtitle", model=content.titles["student"], language=language_names(report.targets, lang))
    skip = escape(translate(lang, "skip"))
    return (
        f'<a class="ht-skip" href="#ht-tabs">{skip}</a><div class="ht-bar-top">'
        f"<p><b>hub_tools</b> · {escape(about)}</p><ul>{links}</ul>"
        f'<ul class="ht-switch" aria-label="{escape(translate(lang, "switch"))}">{languages}</ul></div>'
        f"<h1>{escape(_headline(report, _teacher(content), lang))}</h1>"
        f'<p class="ht-intro">{escape(translate(lang, "intro", language=language_names(report.targets, lang)))}</p>'
        f'<ul class="ht-cards">{cards}</ul>'
    )


def _teacher(content: SpaceContent) -> str:
    """Return the name of the teacher, which is a folder's where it is not here itself."""
    titles = content.titles
    return titles.get("teacher") or Path(content.report.teacher.id).name


def _headline(report: FullReport, model: str, lang: str) -> str:
    """Say how many tokens the target costs against the language of its translations, on held-out pairs."""
    tokenizer, target, pairs = report.tokenizer, report.target, report.corpus.parallel
    language, unread = language_name(target, lang), {name for code, name in report.tokenizer.unread if code == target}
    if "student" not in unread and "teacher" in unread:
        return translate(lang, "headline_unread", model=model, language=language)
    if unread or not tokenizer.parity or not pairs or not pairs.languages:
        return translate(lang, "headline_plain", language=language)
    before, after = (number(tokenizer.parity[name], lang, ".1f") for name in ("teacher", "student"))
    source = language_name(pairs.languages[0], lang)
    values = {"model": model, "language": language, "source": source, "before": before, "after": after}
    return translate(lang, "headline", **values)


def _cards(report: FullReport, lang: str) -> list[tuple[str, str]]:
    """Return the figures that were measured, each with what it says."""
    found, cards = report.tokenizer.measures.get(report.target), []
    language = language_name(report.target, lang)
    if found and all(map(is_read, found.values())) and found["teacher"]["tokens_per_word"]:
        before, after = (found[name]["tokens_per_word"] for name in ("teacher", "student"))
        unit = translate(lang, "card_character" if report.target in WITHOUT_SPACES else "card_word")
        counts = _arrow(number(before, lang, ".2f"), number(after, lang, ".2f"))
        said = translate(lang, "card_tokens", language=language, counts=counts, unit=unit)
        cards.append((change(after / before, lang), said))
    if score := _score(report.evaluation, lang):
        cards.append(score)
    if {"teacher", "student"} <= report.costs.keys():
        before, after = (report.costs[name].sentences.texts_per_second for name in ("teacher", "student"))
        speed = translate(lang, "times", number=number(after / before, lang, ".1f"))
        cards.append((speed, translate(lang, "card_speed", language=language)))
    sizes = _arrow(*(number(model.params / 1e6, lang, ".1f") for model in (report.teacher, report.student)))
    cards.append((f"{sizes} M", translate(lang, "card_params")))
    return cards


def _score(rows: list[EvaluationRow], lang: str) -> tuple[str, str] | None:
    for metric, key in _SCORES:
        for row in rows:
            values = (row.value("teacher"), row.value("student"))
            if row.metric == metric and None not in values:
                is_share = metric == "recall@1"
                shown = [
                    percent(value, lang, ".0f") if is_share else number(100 * value, lang, ".1f")
                    for value in values
                    if value is not None
                ]
                return _arrow(*shown), translate(lang, key, number=number(row.n or 0, lang))
    return None


def _arrow(before: str, after: str) -> str:
    return f"{before} → {after}"
