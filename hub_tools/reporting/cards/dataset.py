"""The card of the dataset repo."""

from __future__ import annotations

import json
from collections.abc import Mapping

from hub_tools.core.languages import name_of
from hub_tools.core.limits import limit_of, limits_text
from hub_tools.reporting.cards.licenses import text_licenses
from hub_tools.reporting.cards.shared import render_card, teacher_link
from hub_tools.reporting.markdown import inline_code
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.tables import table_row
from hub_tools.reporting.text import left_out

# The Hub's categories of size: for numbers of up to three digits, of four digits, and so on.
_SIZES = (
    "n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B", "10B<n<100B",
    "100B<n<1T", "n>1T",
)  # fmt: skip


def dataset_card(report: FullReport, repos: Mapping[str, str]) -> str:
    """Return the README.md of the dataset repo; arguments as for `model_card`."""
    embeddings, teacher = report.embeddings, report.teacher
    revision = inline_code(teacher.revision) if teacher.revision else None
    longest, texts = embeddings.max_seq_length, limits_text(report.config.embed.limits)
    licenses = text_licenses(report)
    files = [{"split": split, "path": f"{split}-*.parquet"} for split in embeddings.splits]
    metadata = {
        "language": _languages(report),
        "license": licenses or None,
        "task_categories": ["sentence-similarity", "feature-extraction"],
        "size_categories": [_SIZES[min(max(len(str(embeddings.rows)) - 3, 0), len(_SIZES) - 1)]],
        "tags": ["embeddings", "distillation", "hub-distill"],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    limited = f"At most {texts} were embedded." if texts else None
    return render_card(
        "dataset",
        report,
        repos,
        metadata,
        pairs_in=name_of(report.target),
        revision=revision or ("not known" if teacher.hub_id else "a local folder"),
        prompts="\n".join(map(table_row, _prompts(report))) or None,
        truncation=f"texts are read up to {longest:,} tokens of the teacher's tokenizer" if longest else "none",
        length="1 (normalised)" if embeddings.normalized else "not normalised",
        precision=embeddings.precision or "not known",
        megabytes=f"{embeddings.bytes / 1e6:,.1f}",
        train_rows=embeddings.splits.get("train"),
        validation_rows=embeddings.splits.get("validation"),
        pooling="mean of the text's own tokens, rare ones counting more"
        if embeddings.text_pooling
        else embeddings.pooling,
        pooled=", pooled from its own tokens, rare ones counting more" if embeddings.text_pooling else "",
        limits=" ".join(filter(None, [limited, left_out(report)])),
        text_licenses=", ".join(map(inline_code, licenses)) or None,
        unlicensed=None if licenses else teacher_link(report),
    )


def _languages(report: FullReport) -> list[str]:
    """Return the languages of the rows: the target, those of the pairs, those of the monolingual texts."""
    pairs = [report.target, *report.corpus.parallel.languages] if report.corpus.parallel else []
    limits = report.config.embed.limits
    texts = [lang for lang in report.corpus.text if limit_of(limits, lang) != 0]
    return list(dict.fromkeys([*pairs, *(lang for lang in texts if lang not in report.embeddings.left_out)]))


def _prompts(report: FullReport) -> list[list[str]]:
    """Return rows that say which prompts were put before the texts, and by which rule."""
    embeddings, rows = report.embeddings, []
    for name, count in embeddings.rows_by_prompt.items():
        prompt = embeddings.prompts.get(name)
        shown = inline_code(json.dumps(prompt, ensure_ascii=False)) if prompt else "nothing"
        if len(embeddings.rows_by_prompt) == 1:
            return [["put before each text", shown]]
        rows.append([f"put before {count:,} texts", f"{shown}, the prompt {inline_code(name)}" if prompt else shown])
    if rule := embeddings.prompting:
        parts = [
            f"{100 * rule[f'{role}_share']:.0f}% of the texts, with {inline_code(rule[role])}"
            for role in ("query", "document")
            if rule[role] is not None
        ]
        rows.append(["prompts were drawn for", "; ".join(parts)])
    return rows
