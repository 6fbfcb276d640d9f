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

# A headline names what became less than this share of the teacher's.
_GAIN = 0.95
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
        f'<p class="ht-intro">{escape(_intro(report, lang))}</p>'
        f'<ul class="ht-cards">{cards}</ul>'
    )


def _teacher(content: SpaceContent) -> str:
    """Return the name of the teacher, which is a folder's where it is not here itself."""
    titles = content.titles
    return titles.get("teacher") or Path(content.report.teacher.id).name


def _headline(report: FullReport, model: str, lang: str) -> str:
    """Say what the student is, with what it gains most visibly: fewer tokens, or else a smaller model."""
    said = {"model": model, "language": language_names(report.targets, lang)}
    unread = _unread(report)
    if "student" not in unread and "teacher" in unread:
        return translate(lang, "headline_unread", **said)
    found = [report.tokenizer.measures[target] for target in report.targets if target in report.tokenizer.measures]
    tokens = [row["student"]["tokens_per_word"] / max(row["teacher"]["tokens_per_word"], 0.01) for row in found]
    size = report.student.params / max(report.teacher.params, 1)
    if tokens and not unread and max(tokens) < _GAIN:
        return translate(lang, "headline_tokens", share=percent(1 - max(tokens), lang, ".0f"), **said)
    if size < _GAIN:
        return translate(lang, "headline_size", share=percent(1 - size, lang, ".0f"), **said)
    return translate(lang, "headline", **said)


def _intro(report: FullReport, lang: str) -> str:
    """Say what the page is for, and what the target costs against the language of the held-out translations."""
    intro = translate(lang, "intro", language=language_names(report.targets, lang))
    parity, pairs = report.tokenizer.parity, report.corpus.parallel
    if _unread(report) or not parity or not pairs or not pairs.languages:
        return intro
    before, after = (number(parity[name], lang, ".1f") for name in ("teacher", "student"))
    source, language = (language_name(code, lang) for code in (pairs.languages[0], report.target))
    cost = translate(lang, "intro_tokens", language=language, source=source, before=before, after=after)
    return f"{intro} {cost}"


def _unread(report: FullReport) -> set[str]:
    return {name for code, name in report.tokenizer.unread if code == report.target}


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
