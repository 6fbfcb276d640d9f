"""The card of the model repo."""

from __future__ import annotations

import json
import re
from typing import Any

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
from hub_tools.reporting.markdown import block, code, fill, literal, text, yaml
from hub_tools.reporting.reproduce import is_path, public
from hub_tools.reporting.text import Report, figure_text, how_measured, markdown_table, what_decided

_SMALL_SAMPLE = 200

_CITATION = """@misc{embeddingmagibu2026,
  title  = {Adapting Multilingual Embedding Models to Turkish via Cross-Lingual Tokenizer Surgery
            and Offline Distillation},
  year   = {2026},
  eprint = {2605.29992},
  archivePrefix = {arXiv}
}"""

# Metric -> (task type, name) in the Hub's model-index; others stay in the table.
_TASKS = {
    "spearman": ("semantic-similarity", "Semantic Similarity"),
    "pearson": ("semantic-similarity", "Semantic Similarity"),
    "recall@1": ("information-retrieval", "Information Retrieval"),
    "mrr": ("information-retrieval", "Information Retrieval"),
    "accuracy": ("bitext-mining", "Bitext Mining"),
}


def model_card(report: Report, names: Names) -> str:
    """The README.md of the model repo.

    Args:
        report: report.json of a whole run.
        names: the repos; `model` is needed, the others are linked where given.
    """
    target = report["config"]["lang"][0]
    repo = str(names.model)
    return fill(
        "model.md",
        metadata=_model_metadata(report, names),
        title=f"A {name_of(target)} student of {text(teacher_name(report))}",
        summary=_summary(report),
        links=links(names, repo),
        usage=_usage(report, repo),
        prompts=_prompts(report),
        results=_results(report),
        results_note=_results_note(report),
        tokenizer=_tokenizer_section(report),
        training=_training(report),
        corpus=corpus_table(report),
        limits=_limits(report),
        reproduce=how_to_reproduce(report),
        license=model_license(report, "model"),
        citation=_CITATION,
    )


def _model_metadata(report: Report, names: Names) -> str:
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    results = [
        EvalResult(
            task_type=_TASKS[row["metric"]][0],
            task_name=_TASKS[row["metric"]][1],
            dataset_type=re.sub(r"[^a-z0-9]+", "-", row["task"].lower()).strip("-"),
            dataset_name=" ".join(row["task"].split()),
            dataset_split=row["split"],
            metric_type=row["metric"],
            metric_name=row["metric"],
            metric_value=row["student"],
        )
        for row in _rows(report)
        if row["metric"] in _TASKS
    ]
    sources = sorted(_hub_sources(report))
    datasets = [*([names.dataset] if names.dataset else []), *sources]
    tags = ["sentence-transformers", "sentence-similarity", "feature-extraction", "distillation", "hub-distill"]
    metadata = {
        **common_metadata(report),
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        **({"datasets": datasets} if datasets else {}),
        "tags": tags,
    }
    if results:
        metadata["model-index"] = eval_results_to_model_index(str(names.model).rpartition("/")[2], results)
    return yaml(metadata)


def _hub_sources(report: Report) -> set[str]:
    names = {public(name).partition(":")[0] for own in report["corpus"]["text"].values() for name in own["sources"]}
    return {name for name in names if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not is_path(name)}


def _rows(report: Report) -> list[dict[str, Any]]:
    """The measurements, each once."""
    return list({(r["task"], r["split"], r["metric"]): r for r in report["evaluation"]}.values())


def _summary(report: Report) -> str:
    tokenizer, clone, distill = report["tokenizer"], report["clone"], report["distill"]
    made = report["config"]["tokenizer"].get("use") is None
    origin = f"learned from {name_of(report['config']['lang'][0])} text" if made else "new"
    return (
        f"The tokenizer of {teacher_link(report)} was replaced by one of {tokenizer['vocab_size']:,} tokens, "
        f"{tokenizer['kept']:,} of them the teacher's and {tokenizer['added']:,} {origin}. "
        f"All other weights were kept, {clone['exact']:,} embedding rows were copied and {clone['composed']:,} "
        f"composed from the teacher's. "
        f"Then the student learned {_whose(report)} in {distill['steps']:,} steps ({distill['tokens']:,} tokens), "
        f"which took the mean cosine on held-out text from {distill['cosine_before']:.4f} to "
        f"{distill['cosine_after']:.4f}."
    )


def _usage(report: Report, repo: str) -> str:
    prompts = report["embeddings"].get("prompts") or {}
    encode = ("encode_query", "encode_document") if prompts.get("query") or prompts.get("document") else ("encode",) * 2
    trust = ", trust_remote_code=True" if report["student"].get("code") else ""
    return (
        "from sentence_transformers import SentenceTransformer\n\n"
        f"model = SentenceTransformer({literal(repo)}{trust})\n"
        f"queries = model.{encode[0]}([{literal(example(report))}])\n"
        f'documents = model.{encode[1]}(["a text", "another text"])\n'
        f"model.similarity(queries, documents)  # vectors have {report['student']['dim']} dimensions"
    )


def _prompts(report: Report) -> str:
    prompts = {k: v for k, v in (report["embeddings"].get("prompts") or {}).items() if v}
    if not prompts:
        return "The model has no prompts: it reads texts as they are."
    default = report["embeddings"].get("default_prompt_name")
    used = f"Without a name, {code(default)} is used." if default else "Without a name, none is put before the text."
    shown = block(json.dumps(prompts, indent=2, ensure_ascii=False), "json")
    given = {report["config"]["embed"].get(f"{name}_prompt") for name in ("query", "document")} - {None}
    whose = "with which the teacher was asked" if given else "the teacher's own"
    return f"Prompts saved in the model, {whose}. {used}\n\n{shown}"


def _results(report: Report) -> str:
    teacher, student = report["teacher"], report["student"]
    rows = [["", *MODELS]]
    for key, label in (("params", "parameters"), ("vocab_size", "vocabulary")):
        rows.append([label, f"{teacher[key]:,}", *[f"{student[key]:,}"] * 2])
    for row in _rows(report):
        counted = f", n={row['n']:,}" if row["n"] else ""
        supervised = ", supervised" if row["supervised"] else ""
        label = f"{text(row['task'])}, {text(row['metric'])} ({text(row['split'])}{counted}{supervised})"
        rows.append([label, *(figure_text(row["metric"], row[m]) for m in MODELS)])
    return "\n".join(markdown_table(rows))


def _results_note(report: Report) -> str:
    small = any(row["n"] and row["n"] < _SMALL_SAMPLE for row in _rows(report))
    return (
        "Clone is the student before training. Scores are x100, cosines and sentences per second are not. "
        f"{how_measured(report)} Held-out text comes from the sources of the training text. {what_decided(report)}"
        + (f" Rows with n under {_SMALL_SAMPLE} are too small to rank models by." if small else "")
    )


def _tokenizer_section(report: Report) -> str:
    asked = dict.fromkeys([*report["config"]["lang"], "en"])
    shown = [lang for lang in asked if lang in report["tokenizer"]["fertility"]]
    return "\n\n".join(part for part in (vocabulary_table(report), fertility_table(report, shown)) if part)


def _training(report: Report) -> str:
    config, distill, embeddings = report["config"]["distill"], report["distill"], report["embeddings"]
    loss = "mean squared difference" if config["loss"] == "mse" else "1 - cosine to the teacher's vector"
    if config["loss"] == "relational":
        loss += f", and {config['similarity_weight']:g} x the squared difference of the similarities in a batch"
    if config["matryoshka"]:
        loss += f", over the first {', '.join(map(str, config['matryoshka']))} numbers"
    rows = [
        ["hyperparameter", "value"],
        ["loss", loss],
        ["steps", f"{distill['steps']:,}; the best held-out cosine was at step {distill['best_step']:,}"],
        ["tokens of a step, padding included", f"{config['batch_tokens'] or STEP_TOKENS[distill['device']]:,}"],
        ["learning rate of the token embeddings", f"{distill['learning_rate']:g}"],
        ["learning rate of all other weights", f"{distill['learning_rate'] * config['backbone_lr_scale']:g}"],
        ["share of their start blended into those weights afterwards", f"{config['weight_interpolation']:g}"],
        ["warm-up, share of the steps", f"{config['warmup_ratio']:g}"],
        ["largest gradient norm", f"{config['max_grad_norm']:g}"],
        ["seed", str(report["config"]["seed"])],
        ["hardware", f"{distill['device']}, {distill['precision']} arithmetic, fp32 weights"],
        ["time", f"{distill['minutes']:g} minutes, {distill['tokens_per_second']:,.0f} tokens per second"],
        ["teacher's vectors", f"{embeddings['rows']:,} of {embeddings['dim']} {embeddings['dtype']}{_taken(report)}"],
    ]
    return "\n".join(markdown_table(rows, numbers=False))


def _whose(report: Report) -> str:
    """The vectors that the student learned."""
    taken = report["embeddings"].get("taken_from")
    return f"the vectors of {_source(taken)}" if taken else "the teacher's vectors"


def _taken(report: Report) -> str:
    """Where the vectors are from, if the run did not compute them."""
    taken = report["embeddings"].get("taken_from")
    return f", taken from {_source(taken)}" if taken else ""


def _source(taken: dict[str, Any]) -> str:
    return code(taken["name"]) + (f" at {code(taken['revision'])}" if taken["revision"] else "")


def _limits(report: Report) -> str:
    target, tokenizer = report["config"]["lang"][0], report["tokenizer"]
    worse = [lang for lang, own in tokenizer["fertility"].items() if own["student"] > own["teacher"]]
    worst = max(worse, key=lambda lang: _growth(tokenizer["fertility"][lang]), default=None)
    longest = report["student"]["max_seq_length"]
    reads = f"at most {longest:,} tokens and ignores the rest" if longest else "texts of any length"
    lines = [
        f"- Made for {name_of(target)}; it reads {reads}.",
        *([f"- {left_out(report)}"] if left_out(report) else []),
    ]
    if worst is not None:
        own = tokenizer["fertility"][worst]
        lines.append(
            f"- {len(worse)} of {len(tokenizer['fertility'])} measured languages take more tokens than before, "
            f"{name_of(worst)} the most: {own['student']:.2f} instead of {own['teacher']:.2f}."
        )
    if files := report["student"].get("code"):
        lines.append(f"- It runs Python code that came with the teacher: {', '.join(map(code, files))}. Read it first.")
    if missing := report["corpus"]["missing"]:
        lines.append(f"- No text was found for: {', '.join(name_of(lang) for lang in missing)}.")
    lines.append("- What the table above does not list was not measured; biases of the teacher were not looked at.")
    return "\n".join(lines)


def _growth(own: dict[str, float]) -> float:
    return own["student"] / own["teacher"]
