"""Cards of the published repos, written from report.json alone; no network.

Everything in a card is measured in the run or an option of it. Names, texts and paths are data: they are put
into the templates once, escaped for the place where they stand.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from hub_tools.evaluate import MODELS, language_order
from hub_tools.languages import WITHOUT_SPACES, name_of
from hub_tools.markup import block, code, fill, literal, text, yaml
from hub_tools.report import Report, figure_text, markdown_table
from hub_tools.reproduce import is_path, public, reproduce
from hub_tools.sources import WIKIPEDIA

_SMALL_SAMPLE = 200
_CITATION = """@misc{embeddingmagibu2026,
  title  = {Adapting Multilingual Embedding Models to Turkish via Cross-Lingual Tokenizer Surgery
            and Offline Distillation},
  year   = {2026},
  eprint = {2605.29992},
  archivePrefix = {arXiv}
}"""
# What the Gemma terms (section 3.1) want with every model derived from Gemma.
_GEMMA_NOTICE = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"
_GEMMA_LICENCE = (
    f"{_GEMMA_NOTICE}. Whoever uses or passes on this model is bound by these terms, with the use restrictions of "
    "their section 3.2, and passes them on."
)
# Licences of the text sources that are known to this tool.
_SOURCE_LICENCES = {"sample ({lang})": ["cc0-1.0"], WIKIPEDIA: ["cc-by-sa-3.0", "gfdl"]}
# Metric -> (task type, name) in the Hub's model-index; others stay in the table.
_TASKS = {
    "spearman": ("semantic-similarity", "Semantic Similarity"),
    "pearson": ("semantic-similarity", "Semantic Similarity"),
    "recall@1": ("information-retrieval", "Information Retrieval"),
    "mrr": ("information-retrieval", "Information Retrieval"),
    "accuracy": ("bitext-mining", "Bitext Mining"),
}


@dataclass(frozen=True, kw_only=True)
class Names:
    """Hub ids of the repos of one run; None for a repo that is not there.

    Attributes:
        model: the student.
        tokenizer: its tokenizer alone.
        dataset: the teacher's vectors.
        space: the demo.
    """

    model: str | None = None
    tokenizer: str | None = None
    dataset: str | None = None
    space: str | None = None


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
        links=_links(names, repo),
        usage=_usage(report, repo),
        prompts=_prompts(report),
        results=_results(report),
        results_note=_results_note(report),
        tokenizer=_tokenizer_table(report),
        training=_training(report),
        corpus=_corpus(report),
        limits=_limits(report),
        reproduce=_reproduce(report),
        licence=_licence(report),
        citation=_CITATION,
    )


def tokenizer_card(report: Report, names: Names) -> str:
    """The README.md of the tokenizer repo; arguments as for `model_card`."""
    target = report["config"]["lang"][0]
    repo, tokenizer = str(names.tokenizer), report["tokenizer"]
    usage = (
        "from transformers import AutoTokenizer\n\n"
        f"tokenizer = AutoTokenizer.from_pretrained({literal(repo)})\n"
        f"tokenizer.tokenize({literal(_example(report))})"
    )
    metadata = {
        **_common_metadata(report),
        "library_name": "transformers",
        "tags": ["tokenizer", "hub-distill", tokenizer["family"].lower()],
    }
    return fill(
        "tokenizer.md",
        metadata=yaml(metadata),
        title=f"A {name_of(target)} tokenizer for students of {text(teacher_name(report))}",
        summary=_tokenizer_summary(report),
        links=_links(names, repo),
        usage=usage,
        fertility=_fertility(report, language_order(tokenizer["fertility"], target)),
        fertility_note="Measured on text of the run, at most 1,000 texts a language; * marks tokens per character.",
        vocabulary=_vocabulary(report),
        reproduce=_reproduce(report),
        licence=_licence(report),
    )


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
            f"{embeddings['rows']:,} texts with the vectors that {_teacher_link(report)} gives them, computed once so "
            f"that students can learn from them without running the teacher."
        ),
        links=_links(names, repo),
        vectors=_vectors(report),
        columns=_columns(report),
        usage=usage,
        corpus=_corpus(report),
        limits=_embedded(report),
        reproduce=_reproduce(report),
        licence=_dataset_licence(report),
    )


def notice(report: Report) -> str | None:
    """The text of the NOTICE file, where the teacher's licence asks for one."""
    if _licence_of(report).get("license") != "gemma":
        return None
    return f"{_GEMMA_NOTICE}\n\nThis model is a modification of {teacher_name(report)}: {_changed(report)}.\n"


def teacher_name(report: Report) -> str:
    """What to call the teacher in public: its Hub id, or the last part of its folder's name."""
    teacher = report["teacher"]
    return str(teacher["id"]) if teacher["revision"] else PurePath(teacher["id"]).name


# -- metadata


def _common_metadata(report: Report) -> dict[str, Any]:
    teacher = report["teacher"]
    base = {"base_model": teacher["id"], "base_model_relation": "finetune"} if teacher["revision"] else {}
    return {"language": report["config"]["lang"], **_licence_of(report), **base}


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
        **_common_metadata(report),
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        **({"datasets": datasets} if datasets else {}),
        "tags": tags,
    }
    if results:
        metadata["model-index"] = eval_results_to_model_index(str(names.model).rpartition("/")[2], results)
    return yaml(metadata)


def _dataset_metadata(report: Report) -> str:
    licences = _text_licences(report)
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


def _licence_of(report: Report) -> dict[str, str]:
    return dict(report["teacher"].get("license") or {})


def _rows(report: Report) -> list[dict[str, Any]]:
    """The measurements, each once."""
    return list({(r["task"], r["split"], r["metric"]): r for r in report["evaluation"]}.values())


# -- sections


def _teacher_link(report: Report) -> str:
    name = teacher_name(report)
    if not report["teacher"]["revision"]:
        return f"{code(name)} (a local folder)"
    return f"[{text(name)}](https://huggingface.co/{name})"


def _links(names: Names, own: str) -> str:
    places = {
        "model": ("Model", "", names.model),
        "tokenizer": ("Tokenizer", "", names.tokenizer),
        "dataset": ("Teacher's vectors", "datasets/", names.dataset),
        "space": ("Demo", "spaces/", names.space),
    }
    lines = [
        f"- {label}: [{text(name)}](https://huggingface.co/{prefix}{name})"
        for label, prefix, name in places.values()
        if name and name != own
    ]
    return "\n".join(lines)


def _changed(report: Report) -> str:
    tokenizer = report["tokenizer"]
    return (
        f"its tokenizer was replaced by one of {tokenizer['vocab_size']:,} tokens, its token embeddings with it, and "
        f"all weights were trained further"
    )


def _summary(report: Report) -> str:
    tokenizer, clone, distill = report["tokenizer"], report["clone"], report["distill"]
    language = name_of(report["config"]["lang"][0])
    return (
        f"The tokenizer of {_teacher_link(report)} was replaced by one of {tokenizer['vocab_size']:,} tokens, "
        f"{tokenizer['kept']:,} of them the teacher's and {tokenizer['added']:,} learned from {language} text. "
        f"All other weights were kept, {clone['exact']:,} embedding rows were copied and {clone['composed']:,} "
        f"composed from the teacher's. "
        f"Then the student learned the teacher's vectors in {distill['steps']:,} steps ({distill['tokens']:,} tokens), "
        f"which took the mean cosine on held-out text from {distill['cosine_before']:.4f} to "
        f"{distill['cosine_after']:.4f}."
    )


def _tokenizer_summary(report: Report) -> str:
    tokenizer, target = report["tokenizer"], report["config"]["lang"][0]
    own = tokenizer["fertility"].get(target)
    unit = "character" if target in WITHOUT_SPACES else "word"
    measured = (
        f" {name_of(target)} text takes {own['student']:.2f} tokens a {unit} (the teacher's tokenizer: "
        f"{own['teacher']:.2f})."
        if own
        else ""
    )
    return (
        f"A {text(tokenizer['family'])} tokenizer of {tokenizer['vocab_size']:,} tokens, made from that of "
        f"{_teacher_link(report)}: {tokenizer['kept']:,} tokens kept, {tokenizer['added']:,} learned.{measured}"
    )


def _example(report: Report) -> str:
    """A text to show: a search of the run, or plain words."""
    return str(report["searches"][0]["query"]) if report["searches"] else "a question"


def _usage(report: Report, repo: str) -> str:
    prompts = report["embeddings"].get("prompts") or {}
    encode = ("encode_query", "encode_document") if prompts.get("query") or prompts.get("document") else ("encode",) * 2
    return (
        "from sentence_transformers import SentenceTransformer\n\n"
        f"model = SentenceTransformer({literal(repo)})\n"
        f"queries = model.{encode[0]}([{literal(_example(report))}])\n"
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
    return f"Prompts saved in the model, the teacher's own. {used}\n\n{shown}"


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
        "Clone is the student before training. Scores are x100, cosines and sentences per second are not; all models "
        f"ran in fp32 with the same code, on {report['distill']['device']}. Held-out text comes from the sources of "
        "the training text. None of these figures was used for a decision but the held-out cosine, which chose the "
        "checkpoint." + (f" Rows with n under {_SMALL_SAMPLE} are too small to rank models by." if small else "")
    )


def _tokenizer_table(report: Report) -> str:
    asked = dict.fromkeys([*report["config"]["lang"], "en"])
    shown = [lang for lang in asked if lang in report["tokenizer"]["fertility"]]
    return "\n\n".join(part for part in (_vocabulary(report), _fertility(report, shown)) if part)


def _vocabulary(report: Report) -> str:
    tokenizer = report["tokenizer"]
    rows = [
        ["tokenizer", ""],
        ["family", text(tokenizer["family"])],
        ["tokens", f"{tokenizer['vocab_size']:,}"],
        ["kept from the teacher", f"{tokenizer['kept']:,}"],
        ["added", f"{tokenizer['added']:,}"],
        ["added, and produced by some text", f"{tokenizer['added_reachable'] or 0:,}"],
        ["measured texts with a new unknown token", f"{tokenizer['new_unknowns']:,}"],
        ["measured texts that do not come back", f"{tokenizer['round_trip_failures']:,}"],
    ]
    notes = [f"- {text(note)}" for note in tokenizer.get("normalizer_changes", [])]
    return "\n".join([*markdown_table(rows, numbers=False), *(["", *notes] if notes else [])])


def _fertility(report: Report, languages: list[str]) -> str:
    fertility = report["tokenizer"]["fertility"]
    if not languages:
        return ""
    rows = [["tokens per word", "teacher", "student"]]
    for lang in languages:
        label = name_of(lang) + ("*" if lang in WITHOUT_SPACES else "")
        rows.append([text(label), f"{fertility[lang]['teacher']:.2f}", f"{fertility[lang]['student']:.2f}"])
    return "\n".join(markdown_table(rows))


def _training(report: Report) -> str:
    config, distill, embeddings = report["config"]["distill"], report["distill"], report["embeddings"]
    loss = "1 - cosine to the teacher's vector"
    if config["relational"]:
        loss += f", and {config['relational']:g} x the squared difference of the similarities in a batch"
    rows = [
        ["hyperparameter", "value"],
        ["loss", loss],
        ["steps", f"{distill['steps']:,}; the best held-out cosine was at step {distill['best_step']:,}"],
        ["tokens of a step, padding included", f"{config['batch_tokens']:,}"],
        ["learning rate of the token embeddings", f"{distill['learning_rate']:g}"],
        ["learning rate of all other weights", f"{distill['learning_rate'] * config['backbone_share']:g}"],
        ["warm-up, share of the steps", f"{config['warmup']:g}"],
        ["largest gradient norm", f"{config['clip']:g}"],
        ["seed", str(report["config"]["seed"])],
        ["hardware", f"{distill['device']}, {distill['precision']} arithmetic, fp32 weights"],
        ["time", f"{distill['minutes']:g} minutes, {distill['tokens_per_second']:,.0f} tokens per second"],
        ["teacher's vectors", f"{embeddings['rows']:,} of {embeddings['dim']} {embeddings['dtype']}"],
    ]
    return "\n".join(markdown_table(rows, numbers=False))


def _corpus(report: Report) -> str:
    corpus, chosen = report["corpus"], dict.fromkeys([*report["config"]["lang"], "en"])
    rows = [["text", "sources", "texts kept", "held out"]]
    for lang in (lang for lang in chosen if lang in corpus["text"]):
        own = corpus["text"][lang]
        sources = ", ".join(code(public(name)) for name in own["sources"])
        rows.append([name_of(lang), sources, f"{own['kept']:,}", f"{own.get('heldout', 0):,}"])
    others = [own for lang, own in corpus["text"].items() if lang not in chosen]
    if others:
        names = sorted({name for lang in corpus["text"] if lang not in chosen for name in _sources(report, lang)})
        kept, heldout = (sum(own.get(key, 0) for own in others) for key in ("kept", "heldout"))
        label = f"{len(others)} other languages"
        rows.append([label, ", ".join(map(code, names)), f"{kept:,}", f"{heldout:,}"])
    if pairs := corpus["parallel"]:
        files = ", ".join(code(public(name)) for name in pairs["files"])
        rows.append(["parallel text, pairs", files, f"{pairs['kept']:,}", f"{pairs.get('heldout', 0):,}"])
    return "\n".join(markdown_table(rows, numbers=False))


def _sources(report: Report, lang: str) -> list[str]:
    """The sources of a language, with {lang} where they name it."""
    names = [public(name) for name in report["corpus"]["text"][lang]["sources"]]
    return [re.sub(rf"(?<![A-Za-z]){lang}(?![A-Za-z])", "{lang}", name) for name in names]


def _limits(report: Report) -> str:
    target, tokenizer = report["config"]["lang"][0], report["tokenizer"]
    worse = [lang for lang, own in tokenizer["fertility"].items() if own["student"] > own["teacher"]]
    worst = max(worse, key=lambda lang: _growth(tokenizer["fertility"][lang]), default=None)
    lines = [
        f"- Made for {name_of(target)}; it reads at most {report['student']['max_seq_length']:,} tokens and ignores "
        "the rest.",
        *([f"- {_left_out(report)}"] if _left_out(report) else []),
    ]
    if worst is not None:
        own = tokenizer["fertility"][worst]
        lines.append(
            f"- {len(worse)} of {len(tokenizer['fertility'])} measured languages take more tokens than before, "
            f"{name_of(worst)} the most: {own['student']:.2f} instead of {own['teacher']:.2f}."
        )
    if missing := report["corpus"]["missing"]:
        lines.append(f"- No text was found for: {', '.join(name_of(lang) for lang in missing)}.")
    lines.append("- What the table above does not list was not measured; biases of the teacher were not looked at.")
    return "\n".join(lines)


def _growth(own: dict[str, float]) -> float:
    return own["student"] / own["teacher"]


def _left_out(report: Report) -> str:
    embeddings = report["embeddings"]
    languages = [name_of(lang) for lang in embeddings["left_out"]]
    if not languages:
        return ""
    return (
        f"The teacher finds {100 * embeddings['teacher_bitext_accuracy']:.0f} % of the held-out translations, so its "
        f"own vectors of {', '.join(languages)} text are no goal: that language is taught by the parallel text alone."
    )


def _embedded(report: Report) -> str:
    """Which of the texts have a vector."""
    limit = report["config"]["embed"]["distill_limit"]
    part = "" if limit is None else f"At most {limit:,} monolingual texts of a language were embedded. "
    return part + _left_out(report)


def _vectors(report: Report) -> str:
    teacher, embeddings = report["teacher"], report["embeddings"]
    prompt = (embeddings.get("prompts") or {}).get(embeddings.get("default_prompt_name"))
    rows = [
        ["vectors", ""],
        ["teacher", _teacher_link(report)],
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


def _licence(report: Report) -> str:
    licence = _licence_of(report)
    known = licence.get("license")
    if not known:
        return (
            f"The card of {_teacher_link(report)} names no licence, so none is named here. Ask its authors before you "
            f"use or pass on this one. What was changed: {_changed(report)}."
        )
    name = licence.get("license_name") or known
    shown = f"[{text(name)}]({licence['license_link']})" if _is_link(licence.get("license_link")) else code(name)
    special = f"\n\n{_GEMMA_LICENCE}" if known == "gemma" else ""
    return (
        f"That of the teacher, {_teacher_link(report)}: {shown}. This is a modification of it: "
        f"{_changed(report)}.{special}"
    )


def _is_link(value: str | None) -> bool:
    return value is not None and re.fullmatch(r"https://[^\s()<>\"]+", value) is not None


def _dataset_licence(report: Report) -> str:
    licences = _text_licences(report)
    if licences:
        return f"The texts: {', '.join(map(code, licences))}. The vectors were computed by {_teacher_link(report)}."
    return (
        "The texts keep the licences of their sources, which are listed above and are not all known to the tool that "
        f"wrote this card. The vectors were computed by {_teacher_link(report)}."
    )


def _text_licences(report: Report) -> list[str]:
    """Licences of the text, or nothing when one of the sources is not known."""
    names = {name.partition(":")[0] for lang in report["corpus"]["text"] for name in _sources(report, lang)}
    names |= {public(name) for name in (report["corpus"]["parallel"] or {}).get("files", [])}
    if not names or not names <= _SOURCE_LICENCES.keys():
        return []
    return sorted({licence for name in names for licence in _SOURCE_LICENCES[name]})


def _hub_sources(report: Report) -> set[str]:
    names = {public(name).partition(":")[0] for own in report["corpus"]["text"].values() for name in own["sources"]}
    return {name for name in names if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not is_path(name)}


def _reproduce(report: Report) -> str:
    command, toml = reproduce(report)
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    parts = [block(command, "bash")]
    if toml:
        parts += ["with `run.toml`:", block(toml, "toml")]
    if "PATH/" in command:
        parts.append("`PATH` stands for a folder on the machine of the run.")
    parts.append(f"Versions: {text(versions)}.")
    return "\n\n".join(parts)
