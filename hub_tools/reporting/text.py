"""report.json, report.md and the figures of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hub_tools.core.files import read_json, write_json, write_text
from hub_tools.core.languages import WITHOUT_SPACES, language_order, name_of
from hub_tools.core.versions import versions
from hub_tools.evaluation.evaluate import MODELS
from hub_tools.models.teacher import Teacher

_COLORS = ("#9aa5b1", "#0b6e99", "#d08c2e", "#6a8f3c", "#a5485d", "#7a5ea8")
Report = dict[str, Any]


def build_report(
    results: dict[str, dict[str, Any]], *, teacher: Teacher, student: Path, config: dict[str, Any]
) -> Report:
    """Put the results of the stages together.

    Args:
        results: stage -> what the stage returned; stages that did not run are missing.
        teacher: what the student was made from.
        student: folder of the student.
        config: the options of the run.
    """
    evaluation, distill = results.get("evaluate", {}), dict(results.get("distill", {}))
    models = evaluation.get("models", {})
    clone = results.get("clone")
    trained_with = distill.pop("versions", None)
    if clone is not None:
        clone = {**_without_seconds(clone), "cosine_to_teacher": distill.get("cosine_before")}
    return {
        "teacher": {**models["teacher"], "id": teacher.name, "revision": teacher.revision, "license": teacher.license}
        if models
        else None,
        "student": {**models["student"], "id": str(student), "code": _code_files(student)} if models else None,
        "corpus": _without_seconds(results.get("corpus")),
        "tokenizer": _without_seconds(results.get("tokenizer")),
        "clone": clone,
        "embeddings": _without_seconds(results.get("embed")),
        "distill": _without_seconds(distill or None),
        "evaluation": evaluation.get("evaluation", []),
        "searches": evaluation.get("searches", []),
        "config": config,
        "versions": trained_with or versions(),
        "timings": {stage: result["seconds"] for stage, result in results.items()},
    }


def _code_files(model: Path) -> list[str]:
    """Python code of the teacher's that went over to the student."""
    return sorted(file.relative_to(model).as_posix() for file in model.rglob("*.py"))


def _without_seconds(result: dict[str, Any] | None) -> Any:
    return None if result is None else {key: value for key, value in result.items() if key != "seconds"}


def write_report(root: Path, report: Report, target: str) -> None:
    """Write report.json, report.md and figures/ of what ran into the run folder.

    A report of some stages never takes the place of one of the whole run.
    """
    if not report["evaluation"] and (root / "evaluation").exists():
        return
    write_json(root / "report.json", report)
    if report["tokenizer"]:
        figures = _figures(root, report, target)
        write_text(root / "report.md", _markdown(report, target, figures))


def summary(report: Report, target: str) -> str:
    """The table and the searches that a run ends with on the terminal."""
    return "\n".join(["", *_columns(_table(report, target)), *_search_lines(report)])


def _table(report: Report, target: str) -> list[list[str]]:
    """Rows of text: a heading, then one row a figure, columns teacher, clone, student."""
    teacher, student = report["teacher"], report["student"]
    rows = [["", *MODELS]]
    for key, label in (("params", "parameters"), ("vocab_size", "vocabulary")):
        rows.append([label, f"{teacher[key]:,}", *[f"{student[key]:,}"] * 2])
    fertility = report["tokenizer"]["fertility"]
    for lang in dict.fromkeys((target, "en")):
        if lang in fertility:
            own = fertility[lang]
            unit = "character" if lang in WITHOUT_SPACES else "word"
            rows.append(
                [f"tokens per {unit}, {name_of(lang)}", f"{own['teacher']:.2f}", *[f"{own['student']:.2f}"] * 2]
            )
    for row in report["evaluation"]:
        counted = f", n={row['n']}" if row["n"] else ""
        rows.append(
            [
                f"{row['task']}, {row['metric']} ({row['split']}{counted})",
                *(figure_text(row["metric"], row[m]) for m in MODELS),
            ]
        )
    return rows


def figure_text(metric: str, value: float | None) -> str:
    """A measured value as tables show it: scores x100, cosines and speeds as they are; nothing for None."""
    if value is None:
        return ""
    if metric == "sentences/s":
        return f"{value:.0f}"
    return f"{value:.3f}" if metric == "cosine" else f"{100 * value:.1f}"


def _columns(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]


def _search_lines(report: Report) -> list[str]:
    lines = []
    for search in report["searches"]:
        lines += ["", f"? {search['query']}"]
        lines += [f"  {name + ':':9}{_shorten(search[name])}" for name in ("teacher", "student")]
    return lines


def _shorten(text: str, width: int = 110) -> str:
    return text if len(text) <= width else text[: width - 1].rsplit(" ", 1)[0] + " …"


def _markdown(report: Report, target: str, figures: list[tuple[str, str]]) -> str:
    name, teacher = name_of(target), report["config"]["teacher"]
    lines = [f"# A {name} student of {teacher}" if report["evaluation"] else f"# A {name} tokenizer from {teacher}"]
    if report["evaluation"]:
        shown = f"Scores are x100. {how_measured(report)} {what_decided(report)}"
        lines += ["", *markdown_table(_table(report, target)), "", shown]
    lines += ["", "## What was done", "", *_what_was_done(report)]
    lines += ["", "## Tokenizer", "", *_tokenizer_lines(report["tokenizer"], target)]
    for title, file in figures:
        lines += ["", f"## {title}", "", f"![{title}]({file})"]
    lines += ["", "## Text", "", *_text_lines(report["corpus"])]
    if report["searches"]:
        lines += ["", "## Searches", "", "```", *_search_lines(report), "```"]
    timings = [["stage", "seconds"], *([stage, f"{seconds:.0f}"] for stage, seconds in report["timings"].items())]
    lines += ["", "## Time", "", *markdown_table(timings)]
    lines += ["", "Versions: " + ", ".join(f"{name} {version}" for name, version in report["versions"].items()) + "."]
    return "\n".join(lines) + "\n"


def how_measured(report: Report) -> str:
    """In which arithmetic the figures of a report were measured."""
    distill = report["distill"]
    but = "" if distill["precision"] == "fp32" else f", but for the cosine to the teacher: in {distill['precision']}"
    return f"All models ran in fp32 with the same code, on {distill['device']}{but}."


def what_decided(report: Report) -> str:
    """Which figures of a report were used for a decision."""
    known = report["embeddings"]["teacher_bitext_accuracy"] is not None
    chose = ", and the teacher's share of translations found, which chose the text to train on" if known else ""
    return f"None of these figures was used for a decision but the held-out cosine, which chose the checkpoint{chose}."


_MEASURES = {
    "tokens_per_word": "tokens per word",
    "characters_per_token": "characters per token",
    "bytes_per_token": "bytes per token",
    "continued_words": "share of words in several tokens",
    "renyi_efficiency": "Renyi efficiency (order 2.5)",
    "tokens_used": "distinct tokens used",
}


def _tokenizer_lines(tokenizer: dict[str, Any], target: str) -> list[str]:
    """Where the tokens come from, all measures for the target and English, and tokens per word of every language."""
    lines = []
    if sources := tokenizer.get("sources"):
        lines += markdown_table(
            [["tokens by the rule that put them there", "number"]] + [[k, f"{n:,}"] for k, n in sources.items()]
        )
        lines.append("")
    measures = tokenizer["measures"]
    shown = [lang for lang in dict.fromkeys((target, "en")) if lang in measures]
    head = ["measure", *(f"{name_of(lang)}, {who}" for lang in shown for who in ("teacher", "student"))]
    rows = [
        [label, *(f"{measures[lang][who][key]:,}" for lang in shown for who in ("teacher", "student"))]
        for key, label in _MEASURES.items()
    ]
    lines += markdown_table([head, *rows])
    unused = ", ".join(f"{who} {count:,}" for who, count in tokenizer["unused"].items())
    lines += ["", f"Tokens that none of the measured texts (at most 1,000 a language) uses: {unused}."]
    if ratios := tokenizer["parity"]:
        shown_ratios = ", ".join(f"{who} {ratio:.2f}" for who, ratio in ratios.items())
        lines += ["", f"Tokens for one of the source side's in held-out pairs (parity): {shown_ratios}."]
    head = ["language", "tokens per word, teacher", "student", "change", "student tokens used"]
    rows = [_language_row(lang, measures[lang]) for lang in language_order(measures, target)]
    return [*lines, "", *markdown_table([head, *rows])]


def _language_row(lang: str, measures: dict[str, dict[str, float]]) -> list[str]:
    before, after = (measures[who]["tokens_per_word"] for who in ("teacher", "student"))
    change = f"{after / before - 1:+.0%}" if before else ""
    name = name_of(lang) + (" (per character)" if lang in WITHOUT_SPACES else "")
    return [name, f"{before:.2f}", f"{after:.2f}", change, f"{measures['student']['tokens_used']:,}"]


def markdown_table(rows: list[list[str]], *, numbers: bool = True) -> list[str]:
    """Lines of a Markdown table; the first row is its head, columns of numbers after the first are aligned right."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|---|" + ("---:|" if numbers else "---|") * (len(rows[0]) - 1), *lines[1:]]


def _what_was_done(report: Report) -> list[str]:
    tokenizer, clone, embeddings, distill = (report[k] for k in ("tokenizer", "clone", "embeddings", "distill"))
    reachable = tokenizer["added_reachable"]
    lines = [
        f"- Tokenizer: {tokenizer['vocab_size']:,} tokens, {tokenizer['kept']:,} of them the teacher's and "
        f"{tokenizer['added']:,} new" + (f" ({reachable:,} reachable)" if reachable is not None else "") + "; texts "
        f"with a new unknown: {tokenizer['new_unknowns']}, texts that do not come back: "
        f"{tokenizer['round_trip_failures']}.",
        *(f"- Normalizer: {note}" for note in tokenizer.get("normalizer_changes", [])),
    ]
    if clone:
        lines.append(
            f"- Clone: {clone['exact']:,} rows exact, {clone['composed']:,} composed, {clone['byte']:,} from bytes, "
            f"{clone['fallback']:,} fallback; {clone['aligned']:,} of the new ones by word alignment."
        )
    if embeddings:
        left_out = "".join(
            f" No monolingual {name_of(lang)} text: the teacher does not know the language."
            for lang in embeddings["left_out"]
        )
        lines.append(
            f"- Teacher's vectors: {embeddings['rows']:,} rows of {embeddings['dim']} {embeddings['dtype']}"
            + (f", taken from {taken['name']}" if (taken := embeddings.get("taken_from")) else "")
            + f".{left_out}"
        )
    if distill:
        lines.append(
            f"- Distillation: {distill['steps']:,} steps, {distill['tokens']:,} tokens on {distill['device']} in "
            f"{distill['precision']}, {distill['tokens_per_second']:,} tokens/s; best held-out cosine at step "
            f"{distill['best_step']}."
        )
    return lines


def _text_lines(corpus: dict[str, Any]) -> list[str]:
    columns = ("read", "kept", "heldout", "dropped_duplicate", "dropped_in_heldout_pairs", "dropped_empty")
    rows = [["language", "read", "kept", "held out", "duplicates", "in held-out pairs", "empty"]]
    rows += [[name_of(lang), *(f"{own.get(c, 0):,}" for c in columns)] for lang, own in corpus["text"].items()]
    lines = markdown_table(rows)
    if pairs := corpus["parallel"]:
        kept, heldout = pairs["kept"], pairs.get("heldout", 0)
        lines += ["", f"Parallel text: {kept:,} pairs kept of {pairs['read']:,}, {heldout:,} of them held out."]
    return lines


def _figures(root: Path, report: Report, target: str) -> list[tuple[str, str]]:
    """Draw the figures; returns (title, path in the run folder) of each."""
    folder = root / "figures"
    folder.mkdir(exist_ok=True)
    draw_fertility(report["tokenizer"]["fertility"], target, folder / "tokens_per_word.png")
    figures = [("Tokens per word by language", "figures/tokens_per_word.png")]
    if report["distill"]:
        _draw_history(read_json(root / "student" / "training.json")["history"], folder / "heldout_cosine.png")
        figures.append(("Held-out cosine to the teacher over training", "figures/heldout_cosine.png"))
    return figures


def draw_fertility(fertility: dict[str, dict[str, float]], target: str, file: Path) -> None:
    """Bars of tokens per word, one group a language, one bar a tokenizer.

    Args:
        fertility: language -> tokenizer -> tokens per word.
        target: the language to put first.
        file: the picture to write.
    """
    plt = _pyplot()
    languages = language_order(fertility, target)
    names = list(fertility[languages[0]])
    figure, axes = plt.subplots(figsize=(max(4, 0.32 * len(languages) + 1.5), 3.6), layout="constrained")
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        values = [fertility[lang][name] for lang in languages]
        offset = (place - (len(names) - 1) / 2) * width
        color = _COLORS[place % len(_COLORS)]
        axes.bar([i + offset for i in range(len(languages))], values, width=width, label=name, color=color)
    labels = [lang + ("*" if lang in WITHOUT_SPACES else "") for lang in languages]
    axes.set_xticks(range(len(languages)), labels)
    axes.set_ylabel("tokens per word (* per character)")
    axes.margins(x=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=150)
    plt.close(figure)


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def _draw_history(history: list[dict[str, float]], file: Path) -> None:
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    axes.plot([e["step"] for e in history], [e["cosine"] for e in history], marker="o", color="#0b6e99")
    axes.set_xlabel("step")
    axes.set_ylabel("mean cosine on held-out text")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=150)
    plt.close(figure)
