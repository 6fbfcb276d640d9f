"""The card of the model repo."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hub_tools.config import STEP_TOKENS
from hub_tools.core.languages import WITHOUT_SPACES, name_of, names_of
from hub_tools.core.terminal import duration
from hub_tools.reporting.cards.licenses import license_values
from hub_tools.reporting.cards.overview import is_comparable, overview, widget
from hub_tools.reporting.cards.shared import common_metadata, render_card
from hub_tools.reporting.contamination import contamination
from hub_tools.reporting.costs import SMALLER_NOTE, smaller_table
from hub_tools.reporting.markdown import block, escape, inline_code, literal
from hub_tools.reporting.redact import is_path, redact_paths
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.scores import HOW_TO_READ_BOUNDS, SMALL_SAMPLE
from hub_tools.reporting.tables import markdown_table
from hub_tools.reporting.text import fertility_table, layers_text, models_of, score_rows, size_rows, source_of_vectors
from hub_tools.results import TokenizerResult
from hub_tools.tokenization.adapt import TRIM

_SIMILARITY = ("semantic-similarity", "Semantic Similarity")
_RETRIEVAL = ("information-retrieval", "Information Retrieval")
# Metric, ours and mteb's -> (task type, name) in the Hub's model-index; others stay in the table. Those of translations
# name languages.
_TASKS = {
    **dict.fromkeys(("spearman", "pearson", "cosine_spearman"), _SIMILARITY),
    **dict.fromkeys(("ndcg@10", "recall@1", "mrr@10", "recall@100", "ndcg_at_10"), _RETRIEVAL),
    **dict.fromkeys(("accuracy", "macro-f1"), ("text-classification", "Classification")),
    **dict.fromkeys(("v-measure", "v_measure"), ("clustering", "Clustering")),
    **dict.fromkeys(("ap", "max_ap"), ("pair-classification", "Pair Classification")),
}
# Tokens for one of the teacher's from which on a language needs more; below, the table shows +0%.
_MORE = 1.005
_BITEXT = ("bitext-mining", "Bitext Mining")


def model_card(report: FullReport, repos: Mapping[str, str]) -> str:
    """Return the README.md of the model repo; `repos` (kind -> id) exist, and the card links to the others."""
    fertility, prompts = report.tokenizer.fertility, report.embeddings.prompts
    languages = [lang for lang in dict.fromkeys([*report.config.lang, "en"]) if lang in fertility]
    has_roles = prompts.get("query") or prompts.get("document")
    has_small_samples = any(row.n and row.n < SMALL_SAMPLE for row in report.evaluation)
    student = [replace(row, task=escape(row.task)) for row in report.smaller if row.model == "student"]
    cells = [[escape(task), *values] for task, *values in score_rows(report, bounds=True)]
    scores = list(zip(report.evaluation, cells, strict=True))
    return render_card(
        "model",
        report,
        repos,
        _metadata(report, repos),
        **overview(report),
        surgery=_surgery(report),
        trust=", trust_remote_code=True" if report.student.code else "",
        trust_flag=" --trust-remote-code" if report.student.code else "",
        repo_id=shlex.quote(repos["model"]),
        encode_query="encode_query" if has_roles else "encode",
        encode_document="encode_document" if has_roles else "encode",
        prompts=_prompts(report),
        results=markdown_table([*size_rows(report), *(cells for row, cells in scores if row.is_main)]),
        more_results=_more_results(report, [cells for row, cells in scores if not row.is_main]),
        what_models_are="Clone is the student before training"
        + (
            ", trim the teacher with as many of its own tokens and nothing learned."
            if TRIM in models_of(report)
            else "."
        ),
        small=f" Rows with n under {SMALL_SAMPLE} are too small to rank models by." if has_small_samples else "",
        how_to_read_bounds=HOW_TO_READ_BOUNDS,
        fertility=fertility_table(report.tokenizer, languages),
        contamination=contamination(report),
        smaller=markdown_table(smaller_table(student)) if student else None,
        smaller_note=SMALLER_NOTE if student else None,
        weights=_kept(report),
        **_training(report),
        growth=_growth(report.tokenizer),
        code=", ".join(map(inline_code, report.student.code)) or None,
        missing=", ".join(map(name_of, report.corpus.missing)) or None,
        **license_values(report, "model"),
    )


def _metadata(report: FullReport, repos: Mapping[str, str]) -> dict[str, Any]:
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    results = [
        EvalResult(
            task_type=task[0],
            task_name=task[1],
            dataset_type=re.sub(r"[^a-z0-9]+", "-", row.task.lower()).strip("-"),
            dataset_name=" ".join(row.task.split()),
            dataset_split=None if row.split == "as given" else row.split,
            metric_type=row.metric.partition(" ")[0],  # `accuracy tr-en` is accuracy
            metric_name=row.metric,
            metric_value=value,
        )
        for row in report.evaluation
        if is_comparable(row)
        and (task := _task_of(row.metric)) is not None
        and (value := row.value("student")) is not None
    ]
    datasets = [*([repos["dataset"]] if "dataset" in repos else []), *sorted(_hub_sources(report))]
    return {
        **common_metadata(report),
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "datasets": datasets or None,
        "widget": widget(report),
        "tags": ["sentence-transformers", "sentence-similarity", "feature-extraction", "distillation", "hub-distill"],
        "model-index": eval_results_to_model_index(repos["model"].rpartition("/")[2], results) if results else None,
    }


def _task_of(metric: str) -> tuple[str, str] | None:
    is_direction = " " in metric and "-" in metric  # `accuracy tr-en`
    return _BITEXT if is_direction else _TASKS.get(metric)


def _hub_sources(report: FullReport) -> set[str]:
    sources = [name for text in report.corpus.text.values() for name in text.sources]
    names = {redact_paths(name).partition(":")[0] for name in sources}
    names |= {data.dataset for data in report.finetune.data if data.dataset} if report.finetune else set()
    return {name for name in names if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not is_path(name)}


def _more_results(report: FullReport, rows: list[list[str]]) -> str | None:
    """Return a table that opens on a click, of the measures that come after each task's first; None where none do."""
    if not rows:
        return None
    table = markdown_table([["", *models_of(report)], *rows])
    return f"<details>\n<summary>All other measures of these tasks</summary>\n\n{table}\n\n</details>"


def _prompts(report: FullReport) -> str:
    prompts = {name: prompt for name, prompt in report.embeddings.prompts.items() if prompt}
    if not prompts:
        return "The model needs no prompts."
    default = report.embeddings.default_prompt_name
    unnamed = f"{inline_code(default)} is used" if default else "no prompt is used"
    origin = "given to the run" if report.config.embed.prompts else "the teacher's own"
    shown = block(json.dumps(prompts, indent=2, ensure_ascii=False), "json")
    used = f"`encode_query` and `encode_document` use them; with `encode`, {unnamed}"
    alike = _prompt_of_alike(report)
    also = f" Texts to compare, cluster or classify were measured with `prompt_name={literal(alike)}`." if alike else ""
    return f"Prompts saved in the model ({origin}): {used}.{also}\n\n{shown}"


def _prompt_of_alike(report: FullReport) -> str | None:
    """Return the name of the prompt that all texts but queries and passages had; None for the default's or none."""
    sides = [pair for row in report.evaluation for pair in row.prompts.get("student", {}).items()]
    used = {prompt for side, prompt in sides if side not in ("queries", "passages")}
    names = [name for name, prompt in report.embeddings.prompts.items() if used == {prompt}]
    return next(iter(names), None) if report.embeddings.default_prompt_name not in names else None


def _surgery(report: FullReport) -> str:
    """Say what became of the teacher's tokenizer."""
    tokenizer, is_ready = report.tokenizer, report.config.tokenizer.use is not None
    if not tokenizer.added and not is_ready:
        return f"cut to {tokenizer.vocab_size:,} of its tokens, and none was learned"
    added = f"{tokenizer.added:,} {'new' if is_ready else f'learned from {names_of(report.targets)} text'}"
    return f"replaced by one of {tokenizer.vocab_size:,} tokens, {tokenizer.kept:,} of them the teacher's and {added}"


def _kept(report: FullReport) -> str:
    """Say what is left of the teacher."""
    layers = layers_text(report.clone)
    if report.clone.is_static:
        return f"The student has {layers}, which began as the teacher's vectors of single tokens, rare ones longer"
    return f"All other weights of {layers} were kept" if layers else "All other weights were kept"


def _training(report: FullReport) -> dict[str, str | float | None]:
    """Return what was done with the student, and the values of the table of hyperparameters."""
    config, distill = report.config.distill, report.distill
    loss = "mean squared difference" if config.loss == "mse" else "1 - cosine to the teacher's vector"
    if config.loss == "relational":
        loss += f", and {config.similarity_weight:g} x the squared difference of the similarities in a batch"
    if config.matryoshka:
        loss += f", also over the first {', '.join(map(str, config.matryoshka))} dimensions"
    effect, best = ". No text was held out, so the effect was not measured", ""
    if distill.cosine_before is not None and distill.cosine_after is not None:
        before, after = f"{distill.cosine_before:.4f}", f"{distill.cosine_after:.4f}"
        effect = f", which raised the mean cosine on held-out text from {before} to {after}"
        if distill.cosine_after <= distill.cosine_before:
            effect = f", after which the mean cosine on held-out text was {after} instead of {before}"
        best = f"; the best held-out cosine was at step {distill.best_step:,}"
    if distill.kept_trim:
        effect = ", but did not come as near to them as the trimmed teacher, which is the student now"
    return {
        "learned": f"the vectors of {source}" if (source := source_of_vectors(report)) else "the teacher's vectors",
        "effect": effect,
        "loss": loss,
        "best_step": best,
        "duration": duration(60 * distill.minutes),
        "step_tokens": config.batch_tokens or STEP_TOKENS[distill.device],
        "learning_rate": f"{distill.learning_rate:.2g}",
        "backbone_learning_rate": f"{distill.learning_rate * config.backbone_lr_scale:.2g}",
        "weight_interpolation": distill.weight_interpolation,
        "warmup_ratio": config.warmup_ratio,
        "max_grad_norm": config.max_grad_norm,
        "seed": str(report.config.seed),
    }


def _growth(tokenizer: TokenizerResult) -> str | None:
    """Say how many languages take more tokens than before; None where none does."""
    unread = {lang for lang, _ in tokenizer.unread}
    fertility = {lang: tokens for lang, tokens in tokenizer.fertility.items() if lang not in unread}
    growing = [lang for lang, tokens in fertility.items() if tokens["student"] > _MORE * tokens["teacher"]]
    if not growing:
        return None
    worst = max(growing, key=lambda lang: fertility[lang]["student"] / max(fertility[lang]["teacher"], 1e-9))
    unit = "character" if worst in WITHOUT_SPACES else "word"
    return (
        f"{len(growing)} of {len(fertility)} measured languages need more tokens than with the teacher's "
        f"tokenizer, most of all {name_of(worst)}: {fertility[worst]['student']:.2f} instead of "
        f"{fertility[worst]['teacher']:.2f} per {unit}."
    )
