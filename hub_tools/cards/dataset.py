"""The card of the dataset repo."""

from __future__ import annotations

import json

from hub_tools.cards.licences import dataset_licence, text_licences
from hub_tools.cards.shared import Names, corpus_table, how_to_reproduce, left_out, links, teacher_link, teacher_name
from hub_tools.languages import name_of
from hub_tools.markup import code, fill, literal, text, yaml
from hub_tools.report import Report, markdown_table


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
        licence=dataset_licence(report),
    )


def _dataset_metadata(report: Report) -> str:
    licences = text_licences(report)
    files = [{"split": split, "path": f"{split}-*.parquet"} for split in report["embeddings"]["splits"]]
    return yaml(
        {
            "language": _dataset_languages(report),
            **({"license": licences} if licences else {}),
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
    prompt = (embeddings.get("prompts") or {}).get(embeddings.get("default_prompt_name"))
    rows = [
        ["vectors", ""],
        ["teacher", teacher_link(report)],
        ["revision", code(teacher["revision"]) if teacher["revision"] else "a local folder"],
        ["put before each text", code(json.dumps(prompt, ensure_ascii=False)) if prompt else "nothing"],
        ["truncation", f"texts are read up to {embeddings['max_seq_length']:,} tokens of the teacher's tokenizer"],
        ["computed in", embeddings["precision"]],
        ["stored as", f"{embeddings['dtype']}, {embeddings['dim']} numbers of fixed length"],
        ["size", f"{embeddings['bytes'] / 1e6:,.1f} MB of parquet"],
        *([f"rows, {split}", f"{rows:,}"] for split, rows in embeddings["splits"].items()),
    ]
    return "\n".join(markdown_table(rows, numbers=False))


def _columns(report: Report) -> str:
    target = report["config"]["lang"][0]
    rows = [
        ["column", "what it is"],
        ["`text`", "what the teacher read"],
        ["`lang`", "its language"],
        ["`translation`", f"{name_of(target)} text that shall have the same vector; null where there is none"],
        ["`source`", "the parallel file of a pair, the language of any other text"],
        ["`embedding`", "the teacher's vector of `text`"],
    ]
    return "\n".join(markdown_table(rows, numbers=False))
