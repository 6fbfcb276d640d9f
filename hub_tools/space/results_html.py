"""What a run measured as HTML: its verdict, its scores and costs, its pictures and links."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from hub_tools.core.languages import WITHOUT_SPACES
from hub_tools.reporting.costs import COSTS, cost_cells
from hub_tools.reporting.figures import file_ending
from hub_tools.reporting.scores import SMALL_SAMPLE, row_label
from hub_tools.reporting.sentences import language_name, local, named
from hub_tools.reporting.tables import score_text
from hub_tools.results import Costs, EvaluationRow, Figure
from hub_tools.space.i18n import TEXTS, translate
from hub_tools.space.parts import change, number, table

# Measures that say how near a model is to its teacher, which is no rival in them.
_NEARNESS = ("cosine", "similarities ranked", "ten nearest found", "spread of similarities")
_ALSO = "recall@1"  # shown with the main measures, since everyone knows what it means


def judgement(verdict: str, warnings: Sequence[str], note: str | None) -> str:
    """Show in words how good the student is, what it must not be, and what its training was not for."""
    alerts = "".join(f'<p class="ht-warning"><b>⚠</b> {escape(warning)}</p>' for warning in warnings)
    more = f'<p class="ht-legend">{escape(note)}</p>' if note else ""
    return f'<p class="ht-lead">{escape(verdict)}</p>{alerts}{more}'


def scores(rows: Sequence[EvaluationRow], models: Sequence[str], prompts: str, lang: str) -> str:
    """Show what models reach: the main measures, the rest folded away, and the prompts that they had."""
    main = [row for row in rows if row.is_main or row.metric == _ALSO]
    rest = [row for row in rows if row not in main]
    shown = _scores(main, models, lang)
    if rest:
        more = escape(translate(lang, "more_scores", number=len(rest)))
        shown += f'<details class="ht-all"><summary>{more}</summary>{_scores(rest, models, lang)}</details>'
    notes = "".join(f'<p class="ht-legend">{escape(translate(lang, key))}</p>' for key in ("scores_notes", "few_items"))
    return f'{shown}{notes}<p class="ht-legend">{escape(prompts)}</p>'


def _scores(rows: Sequence[EvaluationRow], models: Sequence[str], lang: str) -> str:
    body = "".join(_score_row(row, models, lang) for row in rows)
    head = _heads(models, lang)
    return table("ht-scores", translate(lang, "scores_title"), translate(lang, "scores_caption"), head, body)


def _heads(models: Sequence[str], lang: str) -> str:
    names = (translate(lang, name) if name in TEXTS[lang] else name for name in models)
    heads = "".join(
        f'<th scope="col" class="{_column(model)}">{escape(name)}</th>'
        for model, name in zip(models, names, strict=True)
    )
    return f'<td></td>{heads}<th scope="col">{escape(translate(lang, "change"))}</th>'


def _column(model: str) -> str:
    """Return the class of a model's column; those between teacher and student are not shown on a phone."""
    return "" if model in ("teacher", "student") else "between"


def _score_row(row: EvaluationRow, models: Sequence[str], lang: str) -> str:
    rivals = [model for model in models if model != "teacher" or row.metric not in _NEARNESS]
    reached = {model: row.value(model) for model in rivals}
    known = [round(value, 3) for value in reached.values() if value is not None]
    cells = ""
    for model in models:
        figure = row.models.get(model)
        text = escape(local(score_text(row.metric, row.value(model)), lang)) if model in rivals else "–"
        value = reached.get(model)
        if value is not None and round(value, 3) == max(known):
            text = f"<b>{text}</b>"
        bounds = f"<small>{escape(_bounds(row, figure, lang))}</small>" if model == "student" else ""
        cells += f'<td class="ht-num {_column(model)}">{text}{bounds}</td>'
    few = "few" if row.n is not None and row.n < SMALL_SAMPLE else ""
    count = f" · n={number(row.n, lang)}" if row.n is not None else ""
    name = f"{escape(_plain(row, lang))}<small>{escape(named(row.task, lang))}{count}</small>"
    difference = _difference(row.models.get("student"), lang)
    return (
        f'<tr class="{few}" title="{escape(row_label(row, lang))}"><th scope="row">{name}</th>{cells}{difference}</tr>'
    )


def _plain(row: EvaluationRow, lang: str) -> str:
    """Say what was measured as everyone would; the measure's own name where there are no such words."""
    kinds = {"agreement with": "space", "similarity to": "vectors"}
    kind = next((kind for start, kind in kinds.items() if row.task.startswith(start)), "")
    metric, _, sides = row.metric.partition(" ")
    key = f"measure_{kind}_{metric}" if kind else f"measure_{metric}"
    key = key.replace("@", "_at_")
    if key not in TEXTS[lang]:
        return named(row.metric, lang)
    pair, _, how = sides.partition(", ")
    return translate(lang, key, sides=", ".join(filter(None, (pair.replace("-", " → "), named(how, lang)))))


def _bounds(row: EvaluationRow, figure: Figure | None, lang: str) -> str:
    if figure is None or not figure.has_bounds:
        return ""
    low, high = (local(score_text(row.metric, value), lang) for value in (figure.low, figure.high))
    return f"{low}–{high}"


def _difference(figure: Figure | None, lang: str) -> str:
    """Show how far the student is from its teacher: in words of colour only where that is more than noise."""
    found = figure.differences.get("teacher") if figure else None
    if found is None:
        return '<td class="ht-num"></td>'
    points = local(f"{100 * found.value:+.1f}", lang).replace("-", "−")
    if found.is_clear:
        return f'<td class="ht-num {"good" if found.value > 0 else "bad"}">{points}</td>'
    noise = escape(translate(lang, "noise" if found.has_bounds else "unsure"))
    return f'<td class="ht-num">{points}<small>{noise}</small></td>'


def costs(found: Mapping[str, Costs], target: str, lang: str) -> str:
    """Show what the models cost, and how that differs from teacher to student; nothing where nothing was measured."""
    if not found:
        return ""
    some = next(iter(found.values()))
    said = {
        "sentences": number(some.sentences.texts, lang),
        "paragraphs": number(some.paragraphs.texts, lang),
        "language": language_name(target, lang),
        "unit": translate(lang, "unit_character" if target in WITHOUT_SPACES else "unit_word"),
    }
    body = ""
    for name, cost in COSTS.items():
        texts = zip(found, cost_cells(name, found), strict=True)
        cells = "".join(
            f'<td class="ht-num {_column(model)}">{escape(local(text, lang))}</td>' for model, text in texts
        )
        before, after = (cost.value(found[model]) if model in found else None for model in ("teacher", "student"))
        difference = change(after / before, lang) if before and after is not None else ""
        label = escape(translate(lang, f"cost_{name}", **said))
        body += f'<tr><th scope="row">{label}</th>{cells}<td class="ht-num">{difference}</td></tr>'
    head = _heads(list(found), lang)
    shown = table("ht-costs", translate(lang, "costs_title"), translate(lang, "costs_caption"), head, body)
    is_unread = any(cost.tokens_per_word is None for cost in found.values())
    return shown + (f'<p class="ht-legend">{escape(translate(lang, "costs_unread"))}</p>' if is_unread else "")


def pictures(figures: Mapping[str, bytes], alts: Mapping[str, str | None], lang: str) -> str:
    """Show the figures of a run, inside the page; `alts` says what is on them."""
    shown = ""
    for name, alt in alts.items():
        content = figures.get(name + file_ending(lang), figures.get(f"{name}.png"))
        if content is not None:
            label = escape(translate(lang, f"figure_{name}"))
            source = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
            image = f'<img alt="{escape(alt or label)}" src="{source}">'
            shown += f"<figure>{image}<figcaption>{label}</figcaption></figure>"
    return f'<div class="ht-figures">{shown}</div>'


def links(addresses: dict[str, str]) -> str:
    """Show links that leave the page."""
    items = "".join(
        f'<li>{escape(name)}: <a href="{escape(address)}" target="_blank" rel="noopener noreferrer">'
        f"{escape(address.removeprefix('https://'))}</a></li>"
        for name, address in addresses.items()
    )
    return f'<ul class="ht-links">{items}</ul>'
