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
from hub_tools.reporting.markdown import code, fill, literal, text, yaml
from hub_tools.reporting.text import Report, markdown_table


def dataset_card(report: Report, names: Names) -> str:
    """The README.md of the dataset repo; arguments as for `model_card`."""
    target = report["config"]["lang"][0]
    repo, embeddings = str(names.dataset), report["embeddings"]
    usage = (
        "from datasets import load_dataset\n\n"
        f'rows = load_dataset({literal(repo)}, split="train").with_format("numpy")\n'
        f'rows[:8]["embedding"].shape  # (8, {embeddings["dim"]})\n\n'
        f'for row in load_dataset({literal(repo)}, split="train", streaming=True):  # without downloading it all\n'
        '    row["text"], row["embedding"]'
    )
    return fill(
        "dataset.md",
        metadata=_dataset_metadata(report),
        title=f"Sentence embeddings of {text(teacher_name(report))} for a {name_of(target)} student",
        summary=(
            f"{embeddings['rows']:,} texts with the vectors that {teacher_link(report)} gives them, computed once so "
            f"that students can learn from them without running the teacher."
        ),
        links=links(names, repo),
        vectors=_vectors(report),
        columns=_columns(report),
        usage=usage,
        corpus=corpus_table(report),
        limits=_embedded(report),
        reproduce=how_to_reproduce(report),
        license=dataset_license(report),
    )


def _dataset_metadata(report: Report) -> str:
    licenses = text_licenses(report)
    files = [{"split": split, "path": f"{split}-*.parquet"} for split in report["embeddings"]["splits"]]
    return yaml(
        {
            "language": _dataset_languages(report),
            **({"license": licenses} if licenses else {}),
            "task_categories": ["sentence-similarity", "feature-extraction"],
            "size_categories": [_size_category(report["embeddings"]["rows"])],
            "tags": ["embeddings", "distillation", "hub-distill"],
            "configs": [{"config_name": "default", "data_files": files}],
        }
    )


def _size_category(rows: int) -> str:
    steps = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    place = sum(rows >= 10 ** (3 + step) for step in range(len(steps)))
    if place == 0:
        return "n<1K"
    return "n>1T" if place == len(steps) else f"{steps[place - 1]}<n<{steps[place]}"


def _dataset_languages(report: Report) -> list[str]:
    alone = report["config"]["embed"]["distill_limit"] != 0
    texts = [lang for lang in report["corpus"]["text"] if alone and lang not in report["embeddings"]["left_out"]]
    pairs = [report["config"]["lang"][0], "en"] if report["corpus"]["parallel"] else []
    return list(dict.fromkeys([*pairs, *texts]))


def _embedded(report: Report) -> str:
    """Which of the texts have a vector."""
    limit = report["config"]["embed"]["distill_limit"]
    part = "" if limit is None else f"At most {limit:,} monolingual texts of a language were embedded. "
    return part + left_out(report)


def _vectors(report: Report) -> str:
    teacher, embeddings = report["teacher"], report["embeddings"]
    limit = embeddings["max_seq_length"]
    rows = [
        ["vectors", ""],
        ["teacher", teacher_link(report)],
        ["revision", code(teacher["revision"]) if teacher["revision"] else "a local folder"],
        *_prompts(report),
        ["truncation", f"texts are read up to {limit:,} tokens of the teacher's tokenizer" if limit else "none"],
        *([["pooling", text(str(embeddings["pooling"]))]] if embeddings.get("pooling") else []),
        ["length", "1" if embeddings["normalized"] else "not normalised"],
        ["computed in", embeddings["precision"]],
        ["stored as", f"{embeddings['dtype']}, {embeddings['dim']} numbers of fixed length"],
        ["size", f"{embeddings['bytes'] / 1e6:,.1f} MB of parquet"],
        *([f"rows, {split}", f"{rows:,}"] for split, rows in embeddings["splits"].items()),
    ]
    return "\n".join(markdown_table(rows, numbers=False))


def _prompts(report: Report) -> list[list[str]]:
    """What was put before the texts, and what decided it."""
    embeddings = report["embeddings"]
    prompts, by_name, rule = embeddings["prompts"], embeddings["rows_by_prompt"], embeddings["prompting"]
    shown = {name: code(json.dumps(prompts[name], ensure_ascii=False)) if prompts.get(name) else "" for name in by_name}
    if len(by_name) == 1:
        return [["put before each text", next(iter(shown.values())) or "nothing"]]
    rows = [
        [f"put before {by_name[name]:,} texts", f"{prompt}, the prompt {code(name)}" if prompt else "nothing"]
        for name, prompt in shown.items()
    ]
    if rule is None:
        return rows
    target, characters = name_of(report["config"]["lang"][0]), rule["longest_query_characters"]
    parts = [
        f"{100 * rule[f'{kind}_share']:.0f} % of those {length}, with {code(rule[kind])}"
        for kind, length in (("query", f"up to {characters} characters long"), ("document", "longer"))
        if rule[kind] is not None
    ]
    return [*rows, ["prompts were drawn for", f"{target} texts, and pairs with one: {'; '.join(parts)}"]]


def _columns(report: Report) -> str:
    target = report["config"]["lang"][0]
    rows = [
        ["column", "what it is"],
        ["`text`", "what the teacher read"],
        ["`lang`", "its language"],
        ["`translation`", f"{name_of(target)} text that shall have the same vector; null where there is none"],
        ["`source`", "the parallel file of a pair, the language of any other text"],
        ["`prompt_name`", "which of the teacher's prompts stood before it; null where none did"],
        ["`split`", "train or validation"],
        ["`tokens`", "how many tokens the teacher read, with the prompt and special tokens"],
        ["`embedding`", "the teacher's vector of `text`"],
    ]
    return "\n".join(markdown_table(rows, numbers=False))
