"""report.md, and the summary that a run ends with on the terminal."""

from __future__ import annotations

from pathlib import Path

from hub_tools.core.files import write_json, write_text
from hub_tools.core.languages import WITHOUT_SPACES, language_order, name_of
from hub_tools.evaluation.evaluate import MODELS
from hub_tools.reporting.figures import draw_figures
from hub_tools.reporting.report import FullReport, Report
from hub_tools.reporting.tables import markdown_table, score_text, terminal_table
from hub_tools.results import CorpusResult, Search, TokenizerResult

_TOKENIZERS = ("teacher", "student")
_MEASURES = {
    "tokens_per_word": "tokens per word",
    "characters_per_token": "characters per token",
    "bytes_per_token": "bytes per token",
    "continued_words": "share of words in several tokens",
    "renyi_efficiency": "Renyi efficiency (order 2.5)",
    "tokens_used": "distinct tokens used",
}
_SUMMARY_WIDTH = 110


def write_report(root: Path, report: Report) -> None:
    """Write report.json, report.md and figures/ into the run folder.

    A report of some stages never takes the place of one of the whole run.
    """
    if not report.evaluation and (root / "evaluation").exists():
        return
    write_json(root / "report.json", report.to_dict())
    if report.tokenizer is not None:
        write_text(root / "report.md", _markdown(report, draw_figures(root, report)))


def summary(report: FullReport) -> str:
    """Return the table and the searches that a run ends with on the terminal."""
    return "\n".join(["", terminal_table(_results(report)), *map(_search, report.searches)])


def how_measured(report: FullReport) -> str:
    """Say in which arithmetic the figures of a report were measured."""
    distill = report.distill
    but = "" if distill.precision == "fp32" else f", but for the cosine to the teacher: in {distill.precision}"
    return f"All models ran in fp32 with the same code, on {distill.device}{but}."


def what_decided(report: FullReport) -> str:
    """Say which figures of a report were used for a decision."""
    figures = []
    if report.distill.cosine_after is not None:
        figures.append("the held-out cosine, which chose the checkpoint")
    if report.embeddings.teacher_bitext_accuracy is not None:
        figures.append("the teacher's share of translations found, which chose the text to train on")
    exceptions = f" but {', and '.join(figures)}" if figures else ""
    return f"None of these figures was used for a decision{exceptions}."


def size_rows(report: FullReport) -> list[list[str]]:
    """Return the head of a table of teacher, clone and student, and rows with their sizes."""
    teacher, student = report.teacher, report.student
    return [
        ["", *MODELS],
        ["parameters", f"{teacher.params:,}", *[f"{student.params:,}"] * 2],
        ["vocabulary", f"{teacher.vocab_size:,}", *[f"{student.vocab_size:,}"] * 2],
    ]


def score_rows(report: FullReport) -> list[list[str]]:
    """Return a row for each measurement: the task, and what teacher, clone and student reach."""
    rows = []
    for row in report.evaluation:
        count = f", n={row.n:,}" if row.n else ""
        supervised = ", supervised" if row.supervised else ""
        scores = (score_text(row.metric, value) for value in (row.teacher, row.clone, row.student))
        rows.append([f"{row.task}, {row.metric} ({row.split}{count}{supervised})", *scores])
    return rows


def _results(report: FullReport) -> list[list[str]]:
    rows, fertility = size_rows(report), report.tokenizer.fertility
    for lang in dict.fromkeys((report.target, "en")):
        if lang in fertility:
            unit = "character" if lang in WITHOUT_SPACES else "word"
            before, after = (f"{fertility[lang][name]:.2f}" for name in _TOKENIZERS)
            rows.append([f"tokens per {unit}, {name_of(lang)}", before, after, after])
    return rows + score_rows(report)


def _search(search: Search) -> str:
    return f"\n? {search.query}\n  teacher: {_shorten(search.teacher)}\n  student: {_shorten(search.student)}"


def _shorten(text: str) -> str:
    return text if len(text) <= _SUMMARY_WIDTH else text[: _SUMMARY_WIDTH - 1].rsplit(" ", 1)[0] + " …"


def _markdown(report: Report, figures: dict[str, str]) -> str:
    kind = f"student of {report.config.teacher}" if report.evaluation else f"tokenizer from {report.config.teacher}"
    parts = [f"# A {name_of(report.target)} {kind}"]
    if isinstance(report, FullReport):
        parts.append(markdown_table(_results(report)))
        parts.append(f"Scores are x100. {how_measured(report)} {what_decided(report)}")
    parts += ["## What was done", "\n".join(_stages(report))]
    if report.tokenizer is not None:
        parts += ["## Tokenizer", *_tokenizer(report.tokenizer, report.target)]
    for title, file in figures.items():
        parts += [f"## {title}", f"![{title}]({file})"]
    if report.corpus is not None:
        parts += ["## Text", *_text(report.corpus)]
    if report.searches:
        parts += ["## Searches", "\n".join(["```", *map(_search, report.searches), "```"])]
    timings = [[stage, f"{seconds:.0f}"] for stage, seconds in report.timings.items()]
    parts += ["## Time", markdown_table([["stage", "seconds"], *timings])]
    parts += ["Versions: " + ", ".join(f"{name} {version}" for name, version in report.versions.items()) + "."]
    return "\n\n".join(parts) + "\n"


def _tokenizer(tokenizer: TokenizerResult, target: str) -> list[str]:
    """Return where the tokens come from, all measures for the target and English, and tokens per word of all."""
    parts, measures = [], tokenizer.measures
    if tokenizer.sources:
        sources = [[rule, f"{number:,}"] for rule, number in tokenizer.sources.items()]
        parts.append(markdown_table([["tokens by the rule that put them there", "number"], *sources]))
    columns = [(lang, name) for lang in dict.fromkeys((target, "en")) if lang in measures for name in _TOKENIZERS]
    head = ["measure", *(f"{name_of(lang)}, {name}" for lang, name in columns)]
    rows = [[label, *(f"{measures[lang][name][key]:,}" for lang, name in columns)] for key, label in _MEASURES.items()]
    parts.append(markdown_table([head, *rows]))
    if tokenizer.unused:
        unused = ", ".join(f"{name} {count:,}" for name, count in tokenizer.unused.items())
        parts.append(f"Tokens that none of the measured texts (at most 1,000 a language) uses: {unused}.")
    if tokenizer.parity:
        ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in tokenizer.parity.items())
        parts.append(f"Tokens for one of the source side's in held-out pairs (parity): {ratios}.")
    rows = [["language", "tokens per word, teacher", "student", "change", "student tokens used"]]
    for lang in language_order(measures, target):
        before, after = (measures[lang][name]["tokens_per_word"] for name in _TOKENIZERS)
        label = name_of(lang) + (" (per character)" if lang in WITHOUT_SPACES else "")
        change = f"{after / before - 1:+.0%}" if before else ""
        rows.append([label, f"{before:.2f}", f"{after:.2f}", change, f"{measures[lang]['student']['tokens_used']:,}"])
    return [*parts, markdown_table(rows)]


def _stages(report: Report) -> list[str]:
    """Return a line for each stage that made something."""
    lines = []
    if tokenizer := report.tokenizer:
        reachable = f" ({tokenizer.added_reachable:,} reachable)" if tokenizer.added_reachable is not None else ""
        lines.append(
            f"- Tokenizer: {tokenizer.vocab_size:,} tokens, {tokenizer.kept:,} of them the teacher's and "
            f"{tokenizer.added:,} new{reachable}; texts with a new unknown: {tokenizer.new_unknowns}, texts that do "
            f"not come back: {tokenizer.round_trip_failures}."
        )
        lines += [f"- Normalizer: {change}" for change in tokenizer.normalizer_changes]
    if clone := report.clone:
        lines.append(
            f"- Clone: {clone.exact:,} rows exact, {clone.composed:,} composed, {clone.byte:,} from bytes, "
            f"{clone.fallback:,} fallback; {clone.aligned:,} of the new ones by word alignment."
        )
    if embeddings := report.embeddings:
        taken = f", taken from {embeddings.taken_from['name']}" if embeddings.taken_from else ""
        left_out = "".join(
            f" No monolingual {name_of(lang)} text: the teacher does not know the language."
            for lang in embeddings.left_out
        )
        lines.append(
            f"- Teacher's vectors: {embeddings.rows:,} rows of {embeddings.dim} {embeddings.dtype}{taken}.{left_out}"
        )
    if distill := report.distill:
        speed = "" if distill.tokens_per_second is None else f", {distill.tokens_per_second:,.0f} tokens/s"
        best = "not measured" if distill.cosine_after is None else f"at step {distill.best_step}"
        lines.append(
            f"- Distillation: {distill.steps:,} steps, {distill.tokens:,} tokens on {distill.device} in "
            f"{distill.precision}{speed}; best held-out cosine {best}."
        )
    return lines


def _text(corpus: CorpusResult) -> list[str]:
    rows = [["language", "read", "kept", "held out", "duplicates", "in held-out pairs", "empty"]]
    for lang, text in corpus.text.items():
        dropped = (text.dropped_duplicate, text.dropped_in_heldout_pairs, text.dropped_empty)
        rows.append([name_of(lang), *(f"{count:,}" for count in (text.read, text.kept, text.heldout, *dropped))])
    parts = [markdown_table(rows)]
    if pairs := corpus.parallel:
        parts.append(f"Parallel text: {pairs.kept:,} pairs kept of {pairs.read:,}, {pairs.heldout:,} of them held out.")
    return parts
