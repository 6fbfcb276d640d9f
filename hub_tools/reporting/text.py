"""report.md, and what other texts say of a report too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

from hub_tools.core.files import write_json, write_text
from hub_tools.core.languages import WITHOUT_SPACES, language_order, name_of, names_of
from hub_tools.core.names import public_name
from hub_tools.core.run_record import STUDENTS
from hub_tools.evaluation.evaluate import MODELS
from hub_tools.reporting.contamination import contamination
from hub_tools.reporting.costs import SMALLER_NOTE, costs_note, costs_table, smaller_table
from hub_tools.reporting.figures import figure_alts, write_figures
from hub_tools.reporting.finetuning import finetuning
from hub_tools.reporting.markdown import alerts, escape, inline_code, render
from hub_tools.reporting.report import FullReport, Report
from hub_tools.reporting.scores import (
    HOW_TO_READ,
    gain_of_training,
    prompts_note,
    row_cells,
    row_label,
    verdict,
    warnings_of,
)
from hub_tools.reporting.sentences import language_name, say
from hub_tools.reporting.tables import UNREAD, markdown_table, measure_text, sizes_rows
from hub_tools.results import CloneResult, CorpusResult, Figures, Search, TokenizerResult, is_read
from hub_tools.tokenization.adapt import TRIM

_TOKENIZERS = ("teacher", "student")
_MEASURES = {
    "tokens_per_word": "tokens per word",
    "characters_per_token": "characters per token",
    "bytes_per_token": "bytes per token",
    "continued_words": "share of words in several tokens",
    "renyi_efficiency": "Rényi efficiency (order 2.5)",
    "tokens_used": "distinct tokens used",
    "unknown_tokens": "share of tokens that are unknown",
    "unknown_text": "share of characters in unknown tokens",
}
# Counts of the texts of a language -> what tables call them.
_TEXT_COUNTS = {
    "read": "read",
    "kept": "kept",
    "heldout": "held out",
    "dropped_duplicate": "duplicates",
    "dropped_in_heldout_pairs": "in held-out pairs",
    "dropped_contaminated": "evaluation texts",
    "dropped_empty": "empty",
    "cut": "split, too long",
}
_SEARCH_WIDTH = 110


def write_report(root: Path, report: Report) -> None:
    """Write report.json, report.md and figures/ into the run folder.

    A report of some stages never takes the place of one of the whole run.
    """
    is_finished = any(run.exists() for run in (root / "evaluation", *(root / STUDENTS).glob("*/evaluation")))
    if not report.evaluation and is_finished:
        return
    write_json(root / "report.json", report.to_dict())
    if report.tokenizer is not None and report.corpus is not None:
        write_figures(root, report)
        write_text(root / "report.md", _markdown(report, report.tokenizer, report.corpus))


def left_out(report: Report, lang: str = "en") -> str | None:
    """Say why texts of a language were not embedded; None where all were."""
    embeddings = report.embeddings
    if embeddings is None or embeddings.teacher_bitext_accuracy is None or not embeddings.left_out:
        return None
    share = f"{100 * embeddings.teacher_bitext_accuracy:.0f}"
    languages = ", ".join(language_name(code, lang) for code in embeddings.left_out)
    return say(lang, "left_out", share=f"%{share}" if lang == "tr" else f"{share}%", languages=languages)


def source_of_vectors(report: Report) -> str | None:
    """Name the dataset that the teacher's vectors were taken from; None where the run computed them."""
    taken = report.embeddings and report.embeddings.taken_from
    if not taken:
        return None
    return inline_code(taken["name"]) + (f" at {inline_code(taken['revision'])}" if taken["revision"] else "")


def template_values(report: Report, *, is_public: bool = False) -> dict[str, str | float | None]:
    """Return the numbers and words of a report as values of a template, named as in report.json; `is_public` on a card.

    `distill_steps` is `report.distill.steps`. A value is None where its stage did not run.
    """
    distill, source = report.distill, source_of_vectors(report)
    speed = distill and distill.tokens_per_second
    values: dict[str, str | float | None] = {
        "how_measured": _how_measured(report) if isinstance(report, FullReport) else None,
        "what_decided": _what_decided(report) if isinstance(report, FullReport) else None,
        "verdict": escape(verdict_of(report, is_public=is_public)) if isinstance(report, FullReport) else None,
        "warnings": alerts(report_warnings(report, is_public=is_public)),
        "how_to_read": HOW_TO_READ,
        "costs": markdown_table(costs_table(report.costs, report.target)) if report.costs else None,
        "costs_note": costs_note(report.costs),
        "left_out": left_out(report),
        "finetuning": finetuning(report),
        "speed": f", {speed:,.0f} tokens per second" if speed else "",
        "taken_from": f", taken from {source}" if source else "",
        **{f"{name}_alt": alt and escape(alt) for name, alt in figure_alts(report).items()},
        "versions": escape(", ".join(f"{name} {version}" for name, version in report.versions.items())),
    }
    for section in ("tokenizer", "clone", "embeddings", "distill"):
        for name in (field.name for field in fields(get_type_hints(FullReport)[section])):
            value = getattr(getattr(report, section), name, None)
            if value is None or isinstance(value, str | int | float):
                values[f"{section}_{name}"] = escape(value) if isinstance(value, str) else value
    return values


def _how_measured(report: FullReport) -> str:
    distill = report.distill
    trained_on = f"{distill.device} in {distill.precision}"
    but = "" if trained_on == report.hardware else f", but for the cosine to the teacher: on {trained_on}"
    return f"All models ran on {report.hardware} with the same code{but}. {escape(prompts_note(report.evaluation))}"


def _what_decided(report: FullReport) -> str:
    figures = []
    if report.distill.cosine_after is not None:
        choices = "the checkpoint" + (", and between student and trim" if report.distill.trim_agreement else "")
        figures.append(f"the similarity to the teacher's vectors (it chose {choices})")
    if report.embeddings.teacher_bitext_accuracy is not None:
        figures.append("the translations that the teacher finds (they chose the text to train on)")
    if report.finetune is not None:
        figures.append("the held-out part of the data with labels (it chose how much of each training is kept)")
    if not figures:
        return "No figure influenced the run: all are evaluation only."
    return f"Only {' and '.join(figures)} influenced the run; all other figures are evaluation only."


def models_of(report: FullReport) -> list[str]:
    """Return the names of the models of a run; all but the teacher have the student's size."""
    return list(max((row.models for row in report.evaluation), key=len, default=MODELS))


def size_rows(report: FullReport) -> list[list[str]]:
    """Return the head of a table of the models of a run, and rows with their sizes."""
    teacher, student, names = report.teacher, report.student, models_of(report)
    return [
        ["", *names],
        ["parameters", f"{teacher.params:,}", *[f"{student.params:,}"] * (len(names) - 1)],
        ["vocabulary", f"{teacher.vocab_size:,}", *[f"{student.vocab_size:,}"] * (len(names) - 1)],
    ]


def score_rows(report: FullReport, *, bounds: bool = False) -> list[list[str]]:
    """Return a row for each measurement: the task, and what the models of a run reach."""
    return [[row_label(row), *row_cells(row, models_of(report), bounds=bounds)] for row in report.evaluation]


def report_warnings(report: Report, lang: str = "en", *, is_public: bool = False) -> list[str]:
    """Say where work on the models made them worse, and whether the student is therefore another one."""
    if report.distill is not None and report.distill.kept_trim:
        return [say(lang, "kept_trim") + ("" if is_public else " " + say(lang, "instead_kept_trim"))]
    return warnings_of(report.evaluation, lang, is_public=is_public)


def verdict_of(report: FullReport, lang: str = "en", *, is_public: bool = False) -> str:
    """Say in words how good the student of a run is beside its teacher, and what training gained.

    Where it is worse, what this run can still do about it is said too; in public, which of the two models to take.
    """
    remedies = [] if is_public else remedies_of(report)
    said = verdict(report.evaluation, student="student", teacher="teacher", remedies=remedies, lang=lang)
    gain = None if report.distill.kept_trim else gain_of_training(report.evaluation, lang)
    return " ".join(filter(None, (said, gain)))


def remedies_of(report: FullReport) -> list[str]:
    """Return what may make the student of a run better, as `verdict` takes it."""
    learns = report.tokenizer.added > 0 and not report.distill.kept_trim
    possible = {"steps": True, "learn": learns, "corpus": True, "parallel": report.corpus.parallel is None}
    return [key for key, can in possible.items() if can]


def _results(report: FullReport) -> list[list[str]]:
    return [*size_rows(report), *_fertility_rows(report), *score_rows(report)]


def _fertility_rows(report: FullReport) -> list[list[str]]:
    rows = []
    for lang in dict.fromkeys((*report.targets, "en")):
        if lang in report.tokenizer.measures:
            unit = "character" if lang in WITHOUT_SPACES else "word"
            found = measures_of(report, lang).values()
            cells = (measure_text(own, "tokens_per_word", ".2f") if own else "" for own in found)
            rows.append([f"tokens per {unit}, {name_of(lang)}", *cells])
    return rows


def measures_of(report: FullReport, lang: str) -> dict[str, Figures | None]:
    """Return the measures of each model's tokenizer on the text of a language; None where they are not reported."""
    measures, others = report.tokenizer.measures[lang], report.tokenizer.others
    # The trimmed teacher has a tokenizer of its own; where it is the student, the clone's is not reported.
    shown: dict[str, Figures | None] = {
        "teacher": measures["teacher"],
        TRIM: others[TRIM].measures[lang]["student"] if TRIM in others else None,
        "clone": None if report.distill.kept_trim else measures["student"],
    }
    return {name: shown.get(name, measures["student"]) for name in models_of(report)}


def search_text(search: Search) -> str:
    """Return a question with what teacher and student find first, and whether it is the right passage."""
    found = (("teacher", search.teacher, search.teacher_place), ("student", search.student, search.student_place))
    return "\n".join(
        [f"\n? {search.query}", *(f"  {name}{_mark(place)} {_shorten(text)}" for name, text, place in found)]
    )


def _mark(place: int | None) -> str:
    if place is None:
        return ":"
    return " ✓" if place == 1 else f" ✗ (the right one is number {place})"


def _shorten(text: str) -> str:
    return text if len(text) <= _SEARCH_WIDTH else text[: _SEARCH_WIDTH - 1].rsplit(" ", 1)[0] + " …"


def _markdown(report: Report, tokenizer: TokenizerResult, corpus: CorpusResult) -> str:
    teacher = public_name(report.config.teacher)
    kind = f"student of {teacher}" if report.evaluation else f"tokenizer from {teacher}"
    searches, best = None, "not measured"
    if report.searches:
        searches = "\n".join(["## Searches\n\n```", *map(search_text, report.searches), "```"])
    if report.distill and report.distill.cosine_after is not None:
        best = f"at step {report.distill.best_step}"
    reachable = tokenizer.added_reachable
    timings = [[stage, f"{seconds:.0f}"] for stage, seconds in report.timings.items()]
    return render(
        "report.md",
        **template_values(report),
        title=f"A {names_of(report.targets)} {kind}",
        results=markdown_table(_results(report)) if isinstance(report, FullReport) else None,
        smaller=markdown_table(smaller_table(report.smaller)) if report.smaller else None,
        smaller_note=SMALLER_NOTE if report.smaller else None,
        reachable="" if reachable is None else f" ({reachable:,} reachable)",
        normalizer_changes="\n".join(f"- Normalizer: {note}" for note in tokenizer.normalizer_changes) or None,
        best=best,
        **_tokenizer_tables(tokenizer, report.targets),
        unused=", ".join(f"{name} {count:,}" for name, count in (tokenizer.unused or {}).items()) or None,
        parity=_parity(tokenizer, report.target),
        sizes=_sizes(tokenizer),
        splits=_splits(report.clone),
        layers=layers_text(report.clone) if report.clone else None,
        corpus=_corpus(corpus),
        contamination=contamination(report),
        searches=searches,
        timings=markdown_table([["stage", "seconds"], *timings]),
    )


def _tokenizer_tables(tokenizer: TokenizerResult, targets: tuple[str, ...]) -> dict[str, str | None]:
    """Return where the tokens come from, all measures for the targets and English, and tokens per word of all."""
    measures = tokenizer.measures
    sources = [["tokens by the rule that put them there", "number"]]
    sources += [[rule, f"{number:,}"] for rule, number in (tokenizer.sources or {}).items()]
    columns = [(lang, name) for lang in dict.fromkeys((*targets, "en")) if lang in measures for name in _TOKENIZERS]
    head = ["measure", *(f"{name_of(lang)}, {name}" for lang, name in columns)]
    rows = [
        [label, *(measure_text(measures[lang][name], key, ",") for lang, name in columns)]
        for key, label in _MEASURES.items()
    ]
    return {
        "sources": markdown_table(sources) if tokenizer.sources else None,
        "measures": markdown_table([head, *rows]),
        "fertility": fertility_table(tokenizer, language_order(measures, targets)),
    }


def fertility_table(tokenizer: TokenizerResult, languages: Iterable[str]) -> str | None:
    """Return tokens per word before and after, what is unknown, and notes on both; None for no languages."""
    rows = [["language", "tokens per word, teacher", "student", "change", "unknown tokens, teacher", "student"]]
    languages = list(languages)
    for lang in languages:
        figures = [tokenizer.measures[lang][name] for name in _TOKENIZERS]
        before, after = (own["tokens_per_word"] for own in figures)
        change = f"{after / before - 1:+z.0%}" if before and all(map(is_read, figures)) else ""
        unknown = (f"{own['unknown_tokens']:.1%}" for own in figures)
        label = name_of(lang) + (" (per character)" if lang in WITHOUT_SPACES else "")
        rows.append([escape(label), *token_counts(tokenizer, lang), change, *unknown])
    notes = [*([UNREAD] if "?" in str(rows) else []), f"Measured on {_text_measured(tokenizer, languages)}."]
    return "\n\n".join([markdown_table(rows), *notes]) if languages else None


def _text_measured(tokenizer: TokenizerResult, languages: Sequence[str]) -> str:
    texts = "at most 1,000 texts per language"
    if tokenizer.seen is None:
        return f"{texts}, which the tokenizer may have been learned from"
    seen = [lang for lang in languages if lang in tokenizer.seen]
    unseen = [lang for lang in languages if lang not in seen]
    if not unseen:
        return f"{texts} that the tokenizer was learned from; new text costs it more"
    texts = f"{texts} that the tokenizer was not learned from"
    if not seen:
        return texts
    few = names_of(seen) if len(seen) <= len(unseen) else f"languages other than {names_of(unseen)}"
    return f"{texts}; in {few} on such that it was learned from too, and new text costs it more"


def token_counts(tokenizer: TokenizerResult, lang: str) -> tuple[str, str]:
    """Return tokens per word of teacher and student as tables show them, with marks where they mean nothing."""
    before, after = (
        measure_text(found, "tokens_per_word", ".2f")
        for found in map(tokenizer.measures[lang].__getitem__, _TOKENIZERS)
    )
    return before, after


def _sizes(tokenizer: TokenizerResult) -> str | None:
    """Return a table of the sizes that the vocabulary could have; None where the size was given."""
    if not tokenizer.sizes:
        return None
    table = markdown_table(sizes_rows(tokenizer.sizes, tokenizer.vocab_size))
    return (
        "Tokens per word on the text of the run with the teacher's own tokens in vocabularies of several sizes, and "
        "the size of the student with each. Chosen is the smallest that costs each language at most "
        f"1% more tokens than the teacher's tokenizer:\n\n{table}"
    )


def _splits(clone: CloneResult | None) -> str | None:
    """Return a table of the numbers of learned tokens that there was a choice between; None where there was none."""
    if clone is None or not clone.splits:
        return None
    languages = list(clone.splits[0].tokens_per_word)
    rows = [["learned tokens", *(f"tokens per word, {name_of(lang)}" for lang in languages), "similarities ranked"]]
    for split in clone.splits:
        chosen = " (chosen)" if split.tokenizer == clone.tokenizer else ""
        counts = (f"{split.tokens_per_word[lang]:.2f}" for lang in languages)
        rows.append([f"{split.learned:,}{chosen}", *counts, f"{100 * split.agreement.ranks:.1f}"])
    return (
        "How well clones with more and fewer learned tokens rank the similarities of held-out texts before training, "
        f"compared with the training goal:\n\n{markdown_table(rows)}"
    )


def layers_text(clone: CloneResult) -> str | None:
    """Say which of the teacher's layers a clone has; None where it has all."""
    if clone.is_static:
        return "no layers: a text's vector is the mean of its tokens' rows"
    if not clone.layers:
        return None
    return f"{len(clone.layers)} of the teacher's layers ({', '.join(map(str, clone.layers))}, counted from 0)"


def _parity(tokenizer: TokenizerResult, target: str) -> str | None:
    parts = (
        f"{name} {ratio:.2f}{'?' if (target, name) in tokenizer.unread else ''}"
        for name, ratio in (tokenizer.parity or {}).items()
    )
    return ", ".join(parts) or None


def _corpus(corpus: CorpusResult) -> str:
    rows = [["language", *_TEXT_COUNTS.values()]]
    for lang, text in corpus.text.items():
        rows.append([name_of(lang), *(f"{getattr(text, count):,}" for count in _TEXT_COUNTS)])
    # A column says something if a language has something in it.
    shown = [column for column in zip(*rows, strict=True) if set(column[1:]) != {"0"}]
    rows = list(map(list, zip(*shown, strict=True)))
    table, pairs = markdown_table(rows), corpus.parallel
    if pairs is None:
        return table
    long = f"; {pairs.dropped_long:,} were too long" if pairs.dropped_long else ""
    shares = f"{pairs.kept:,} pairs kept of {pairs.read:,}, {pairs.heldout:,} of them held out"
    if pairs.dropped_contaminated:
        shares += f"; {pairs.dropped_contaminated:,} hold a text that models are measured on"
    return f"{table}\n\nParallel text: {shares}{long}."
