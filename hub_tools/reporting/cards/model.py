"""The card of the model repo."""

from __future__ import annotations

import json
import re

from hub_tools.config import STEP_TOKENS
from hub_tools.core.languages import name_of
from hub_tools.evaluation.evaluate import MODELS
from hub_tools.reporting.cards.licenses import model_license
from hub_tools.reporting.cards.shared import (
    Names,
    common_metadata,
    corpus_table,
    example,
    how_to_reproduce,
    left_out,
    links,
    teacher_link,
    teacher_name,
)
from hub_tools.reporting.cards.tokenizer import fertility_table, vocabulary_table
from hub_tools.reporting.markdown import block, escape, inline_code, literal, render, yaml
from hub_tools.reporting.redact import is_path, redact_paths
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.tables import markdown_table, score_text
from hub_tools.reporting.text import how_measured, what_decided
from hub_tools.results import EvaluationRow

_SMALL_SAMPLE = 200

# Metric -> (task type, name) in the Hub's model-index; others stay in the table.
_TASKS = {
    "spearman": ("semantic-similarity", "Semantic Similarity"),
    "pearson": ("semantic-similarity", "Semantic Similarity"),
    "recall@1": ("information-retrieval", "Information Retrieval"),
    "mrr": ("information-retrieval", "Information Retrieval"),
    "accuracy": ("bitext-mining", "Bitext Mining"),
}


def model_card(report: FullReport, names: Names) -> str:
    """Return the README.md of the model repo.

    Args:
        report: what the run made and measured.
        names: the repos; `model` is needed, the others are linked where given.
    """
    repo = str(names.model)
    return render(
        "model.md",
        metadata=_metadata(report, names),
        target=name_of(report.target),
        teacher=escape(teacher_name(report)),
        summary=_summary(report),
        links=links(names, repo),
        usage=_usage(report, repo),
        prompts=_prompts(report),
        results=_results(report),
        results_note=_results_note(report),
        tokenizer=_tokenizer_section(report),
        **_hyperparameters(report),
        history=_history(report),
        corpus=corpus_table(report),
        limits=_limits(report),
        reproduce=how_to_reproduce(report),
        license=model_license(report, "model"),
    )


def _metadata(report: FullReport, names: Names) -> str:
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    results = [
        EvalResult(
            task_type=_TASKS[row.metric][0],
            task_name=_TASKS[row.metric][1],
            dataset_type=re.sub(r"[^a-z0-9]+", "-", row.task.lower()).strip("-"),
            dataset_name=" ".join(row.task.split()),
            dataset_split=row.split,
            metric_type=row.metric,
            metric_name=row.metric,
            metric_value=row.student,
        )
        for row in _rows(report)
        if row.metric in _TASKS and row.student is not None
    ]
    datasets = [*([names.dataset] if names.dataset else []), *sorted(_hub_sources(report))]
    metadata = {
        **common_metadata(report),
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        **({"datasets": datasets} if datasets else {}),
        "tags": ["sentence-transformers", "sentence-similarity", "feature-extraction", "distillation", "hub-distill"],
    }
    if results:
        metadata["model-index"] = eval_results_to_model_index(str(names.model).rpartition("/")[2], results)
    return yaml(metadata)


def _hub_sources(report: FullReport) -> set[str]:
    sources = [name for text in report.corpus.text.values() for name in text.sources]
    names = {redact_paths(name).partition(":")[0] for name in sources}
    return {name for name in names if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not is_path(name)}


def _rows(report: FullReport) -> list[EvaluationRow]:
    """Return the measurements, each once."""
    return list({(row.task, row.split, row.metric): row for row in report.evaluation}.values())


def _summary(report: FullReport) -> str:
    tokenizer, clone, distill = report.tokenizer, report.clone, report.distill
    origin = "new" if report.config.tokenizer.use else f"learned from {name_of(report.target)} text"
    effect = ". No text was held out, so what that changed was not measured."
    if distill.cosine_before is not None and distill.cosine_after is not None:
        effect = (
            f", which took the mean cosine on held-out text from {distill.cosine_before:.4f} to "
            f"{distill.cosine_after:.4f}."
        )
    return (
        f"The tokenizer of {teacher_link(report)} was replaced by one of {tokenizer.vocab_size:,} tokens, "
        f"{tokenizer.kept:,} of them the teacher's and {tokenizer.added:,} {origin}. "
        f"All other weights were kept, {clone.exact:,} embedding rows were copied and {clone.composed:,} composed from "
        f"the teacher's. "
        f"Then the student learned {_vectors(report)} in {distill.steps:,} steps ({distill.tokens:,} tokens){effect}"
    )


def _usage(report: FullReport, repo: str) -> str:
    prompts = report.embeddings.prompts
    encode = ("encode_query", "encode_document") if prompts.get("query") or prompts.get("document") else ("encode",) * 2
    trust = ", trust_remote_code=True" if report.student.code else ""
    return (
        "from sentence_transformers import SentenceTransformer\n\n"
        f"model = SentenceTransformer({literal(repo)}{trust})\n"
        f"queries = model.{encode[0]}([{literal(example(report))}])\n"
        f'documents = model.{encode[1]}(["a text", "another text"])\n'
        f"model.similarity(queries, documents)  # vectors have {report.student.dim} dimensions"
    )


def _prompts(report: FullReport) -> str:
    prompts = {name: prompt for name, prompt in report.embeddings.prompts.items() if prompt}
    if not prompts:
        return "The model has no prompts: it reads texts as they are."
    default = report.embeddings.default_prompt_name
    unnamed = f"{inline_code(default)} is used" if default else "none is put before the text"
    origin = "with which the teacher was asked" if report.config.embed.prompts else "the teacher's own"
    shown = block(json.dumps(prompts, indent=2, ensure_ascii=False), "json")
    return f"Prompts saved in the model, {origin}. Without a name, {unnamed}.\n\n{shown}"


def _results(report: FullReport) -> str:
    teacher, student = report.teacher, report.student
    rows = [
        ["", *MODELS],
        ["parameters", f"{teacher.params:,}", *[f"{student.params:,}"] * 2],
        ["vocabulary", f"{teacher.vocab_size:,}", *[f"{student.vocab_size:,}"] * 2],
    ]
    for row in _rows(report):
        count = f", n={row.n:,}" if row.n else ""
        supervised = ", supervised" if row.supervised else ""
        label = f"{escape(row.task)}, {escape(row.metric)} ({escape(row.split)}{count}{supervised})"
        rows.append([label, *(score_text(row.metric, value) for value in (row.teacher, row.clone, row.student))])
    return markdown_table(rows)


def _results_note(report: FullReport) -> str:
    small = any(row.n and row.n < _SMALL_SAMPLE for row in _rows(report))
    return (
        "Clone is the student before training. Scores are x100, cosines and sentences per second are not. "
        f"{how_measured(report)} Held-out text comes from the sources of the training text. {what_decided(report)}"
        + (f" Rows with n under {_SMALL_SAMPLE} are too small to rank models by." if small else "")
    )


def _tokenizer_section(report: FullReport) -> str:
    languages = dict.fromkeys([*report.config.lang, "en"])
    measured = [lang for lang in languages if lang in report.tokenizer.fertility]
    figure = "![Tokens per word by language](figures/tokens_per_word.png)" if report.tokenizer.fertility else ""
    return "\n\n".join(part for part in (vocabulary_table(report), fertility_table(report, measured), figure) if part)


def _hyperparameters(report: FullReport) -> dict[str, str]:
    """Return the values of the template's table of hyperparameters."""
    config, distill, embeddings = report.config.distill, report.distill, report.embeddings
    loss = "mean squared difference" if config.loss == "mse" else "1 - cosine to the teacher's vector"
    if config.loss == "relational":
        loss += f", and {config.similarity_weight:g} x the squared difference of the similarities in a batch"
    if config.matryoshka:
        loss += f", over the first {', '.join(map(str, config.matryoshka))} numbers"
    best = "" if distill.cosine_after is None else f"; the best held-out cosine was at step {distill.best_step:,}"
    speed = "" if distill.tokens_per_second is None else f", {distill.tokens_per_second:,.0f} tokens per second"
    taken = f", taken from {_source(embeddings.taken_from)}" if embeddings.taken_from else ""
    return {
        "loss": loss,
        "steps": f"{distill.steps:,}{best}",
        "step_tokens": f"{config.batch_tokens or STEP_TOKENS[distill.device]:,}",
        "learning_rate": f"{distill.learning_rate:g}",
        "backbone_learning_rate": f"{distill.learning_rate * config.backbone_lr_scale:g}",
        "weight_interpolation": f"{config.weight_interpolation:g}",
        "warmup_ratio": f"{config.warmup_ratio:g}",
        "max_grad_norm": f"{config.max_grad_norm:g}",
        "seed": str(report.config.seed),
        "hardware": f"{distill.device}, {distill.precision} arithmetic, fp32 weights",
        "time": f"{distill.minutes:g} minutes{speed}",
        "vectors": f"{embeddings.rows:,} of {embeddings.dim} {embeddings.dtype}{taken}",
    }


def _history(report: FullReport) -> str:
    if report.distill.cosine_after is None:
        return ""
    return "![Held-out cosine to the teacher over training](figures/heldout_cosine.png)"


def _vectors(report: FullReport) -> str:
    """Name the vectors that the student learned."""
    taken = report.embeddings.taken_from
    return f"the vectors of {_source(taken)}" if taken else "the teacher's vectors"


def _source(taken: dict[str, str | None]) -> str:
    return inline_code(taken["name"]) + (f" at {inline_code(taken['revision'])}" if taken["revision"] else "")


def _limits(report: FullReport) -> str:
    fertility, longest = report.tokenizer.fertility, report.student.max_seq_length
    reads = f"at most {longest:,} tokens and ignores the rest" if longest else "texts of any length"
    lines = [f"- Made for {name_of(report.target)}; it reads {reads}."]
    if reason := left_out(report):
        lines.append(f"- {reason}")
    growth = {
        lang: tokens["student"] / max(tokens["teacher"], 1e-9)
        for lang, tokens in fertility.items()
        if tokens["student"] > tokens["teacher"]
    }
    if growth:
        worst = max(growth, key=lambda lang: growth[lang])
        lines.append(
            f"- {len(growth)} of {len(fertility)} measured languages take more tokens than before, {name_of(worst)} "
            f"the most: {fertility[worst]['student']:.2f} instead of {fertility[worst]['teacher']:.2f}."
        )
    if files := report.student.code:
        names = ", ".join(map(inline_code, files))
        lines.append(f"- It runs Python code that came with the teacher: {names}. Read it first.")
    if missing := report.corpus.missing:
        lines.append(f"- No text was found for: {', '.join(name_of(lang) for lang in missing)}.")
    lines.append("- What the table above does not list was not measured; biases of the teacher were not looked at.")
    return "\n".join(lines)
