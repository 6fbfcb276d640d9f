"""The card of the dataset repo."""

from __future__ import annotations

import json

from hub_tools.core.languages import name_of
from hub_tools.reporting.cards.licenses import dataset_license, text_licenses
from hub_tools.reporting.cards.shared import (
    Names,
    corpus_table,
    how_to_reproduce,
    left_out,
    links,
    teacher_link,
    teacher_name,
)
from hub_tools.reporting.markdown import escape, inline_code, literal, render, yaml
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.tables import markdown_table

_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


def dataset_card(report: FullReport, names: Names) -> str:
    """Return the README.md of the dataset repo; arguments as for `model_card`."""
    repo = str(names.dataset)
    return render(
        "dataset.md",
        metadata=_metadata(report),
        teacher=escape(teacher_name(report)),
        teacher_link=teacher_link(report),
        target=name_of(report.target),
        rows=f"{report.embeddings.rows:,}",
        dim=str(report.embeddings.dim),
        links=links(names, repo),
        vectors=_vectors(report),
        repo=literal(repo),
        corpus=corpus_table(report),
        limits=_limits(report),
        reproduce=how_to_reproduce(report),
        license=dataset_license(report),
    )


def _metadata(report: FullReport) -> str:
    licenses = text_licenses(report)
    files = [{"split": split, "path": f"{split}-*.parquet"} for split in report.embeddings.splits]
    return yaml(
        {
            "language": _languages(report),
            **({"license": licenses} if licenses else {}),
            "task_categories": ["sentence-similarity", "feature-extraction"],
            "size_categories": [_size_category(report.embeddings.rows)],
            "tags": ["embeddings", "distillation", "hub-distill"],
            "configs": [{"config_name": "default", "data_files": files}],
        }
    )


def _size_category(rows: int) -> str:
    place = sum(rows >= 10 ** (3 + step) for step in range(len(_SIZES)))
    if place == 0:
        return "n<1K"
    return "n>1T" if place == len(_SIZES) else f"{_SIZES[place - 1]}<n<{_SIZES[place]}"


def _languages(report: FullReport) -> list[str]:
    """Return the languages of the rows: the target, those of the pairs, those of the monolingual texts."""
    pairs = [report.target, *report.corpus.parallel.languages] if report.corpus.parallel else []
    texts = report.corpus.text if report.config.embed.distill_limit != 0 else []
    return list(dict.fromkeys([*pairs, *(lang for lang in texts if lang not in report.embeddings.left_out)]))


def _limits(report: FullReport) -> str:
    """Say which of the texts have a vector."""
    limit = report.config.embed.distill_limit
    part = "" if limit is None else f"At most {limit:,} monolingual texts of a language were embedded. "
    return part + left_out(report)


def _vectors(report: FullReport) -> str:
    teacher, embeddings = report.teacher, report.embeddings
    limit = embeddings.max_seq_length
    rows = [
        ["vectors", ""],
        ["teacher", teacher_link(report)],
        ["revision", inline_code(teacher.revision) if teacher.revision else "a local folder"],
        *_prompts(report),
        ["truncation", f"texts are read up to {limit:,} tokens of the teacher's tokenizer" if limit else "none"],
        *([["pooling", escape(embeddings.pooling)]] if embeddings.pooling else []),
        ["length", "1" if embeddings.normalized else "not normalized"],
        ["computed in", embeddings.precision or "not known"],
        ["stored as", f"{embeddings.dtype}, {embeddings.dim} numbers of fixed length"],
        ["size", f"{embeddings.bytes / 1e6:,.1f} MB of parquet"],
        *([f"rows, {split}", f"{rows:,}"] for split, rows in embeddings.splits.items()),
    ]
    return markdown_table(rows, numbers=False)


def _prompts(report: FullReport) -> list[list[str]]:
    """Return which prompts were put before the texts, and the rule that chose them."""
    embeddings = report.embeddings
    by_name, rule = embeddings.rows_by_prompt, embeddings.prompting
    prompts = {name: embeddings.prompts.get(name) for name in by_name}
    shown = {
        name: inline_code(json.dumps(prompt, ensure_ascii=False)) if prompt else "" for name, prompt in prompts.items()
    }
    if len(by_name) == 1:
        return [["put before each text", next(iter(shown.values())) or "nothing"]]
    rows = [
        [f"put before {by_name[name]:,} texts", f"{prompt}, the prompt {inline_code(name)}" if prompt else "nothing"]
        for name, prompt in shown.items()
    ]
    if rule is None:
        return rows
    parts = [
        f"{100 * rule[f'{kind}_share']:.0f} % of those {length}, with {inline_code(rule[kind])}"
        for kind, length in (
            ("query", f"up to {rule['longest_query_characters']} characters long"),
            ("document", "longer"),
        )
        if rule[kind] is not None
    ]
    return [
        *rows,
        ["prompts were drawn for", f"{name_of(report.target)} texts, and pairs with one: {'; '.join(parts)}"],
    ]
