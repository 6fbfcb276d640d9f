"""The tab of what the run measured, with the command that makes a student of another teacher."""

from __future__ import annotations

from typing import Any

import gradio as gr

from hub_tools.core.languages import LANGUAGES, MORE_LANGUAGES, name_of
from hub_tools.reporting.figures import figure_alts
from hub_tools.reporting.scores import prompts_note
from hub_tools.reporting.text import left_out, models_of, report_warnings, verdict_of
from hub_tools.space import html, results, results_html
from hub_tools.space.api import explain
from hub_tools.space.events import PRIVATE, Label, lang_of
from hub_tools.space.i18n import AUTONYMS, translate
from hub_tools.space.service import Service

_INSTALL = "pip install hub-tools"


def results_tab(service: Service, label: Label, page: gr.Blocks) -> None:
    """What the run measured, links, and the command that makes a student of another teacher."""
    table, pictures = gr.HTML(elem_id="ht-scores"), gr.HTML(elem_id="ht-pictures")
    gr.Markdown(label("links"))
    links = gr.HTML(elem_id="ht-links")
    gr.Markdown(label("make"))
    gr.Markdown(label("make_info"))
    report = service.content.report
    with gr.Row():
        teacher = gr.Textbox(
            report.teacher.id if report.teacher.revision else "sentence-transformers/all-MiniLM-L6-v2",
            label=label("make_teacher"),
            max_length=160,
            max_lines=1,
            elem_id="ht-teacher",
        )
        codes = [(AUTONYMS.get(code, name_of(code)), code) for code in (LANGUAGES | MORE_LANGUAGES)]
        language = gr.Dropdown(codes, value=service.content.target, label=label("make_language"), elem_id="ht-language")
        size = report.student.vocab_size
        vocabulary = gr.Number(size, label=label("make_vocabulary"), precision=0, elem_id="ht-vocabulary")
    wrong = gr.HTML(elem_id="ht-make-wrong")
    # Wrapped: a line that scrolls is cut on a phone, and its frame cannot be reached with the keyboard.
    written = gr.Code(
        language="shell",
        label=label("make_command"),
        interactive=False,
        wrap_lines=True,
        show_line_numbers=False,
        lines=3,
        elem_id="ht-command",
    )

    def show_all(request: gr.Request) -> tuple[str, str, str]:
        lang, models = lang_of(request), models_of(report)
        addresses = {translate(lang, key): address for key, address in service.content.links.items()}
        figures = results_html.pictures(service.content.figures, figure_alts(report, lang), lang)
        judged = results_html.judgement(verdict_of(report, lang), report_warnings(report, lang), left_out(report, lang))
        scores = results_html.scores(report.evaluation, models, prompts_note(report.evaluation, lang), lang)
        costs = results_html.costs(report.costs, report.target, lang)
        return judged + scores + costs, figures, results_html.links(addresses)

    def write(teacher: str, language: str, vocabulary: float | None, request: gr.Request) -> tuple[str, str]:
        try:
            command = results.command(teacher or "", language or "", int(vocabulary or 0))
        except Exception as error:
            return "", html.problem(explain(error, lang_of(request)))
        return f"{_INSTALL}\n{command}", ""

    page.load(show_all, None, [table, pictures, links], **PRIVATE)
    chosen: list[Any] = [teacher, language, vocabulary]
    triggers = [page.load, teacher.change, language.change, vocabulary.change]
    gr.on(triggers, write, chosen, [written, wrong], show_progress="hidden", trigger_mode="always_last", **PRIVATE)
