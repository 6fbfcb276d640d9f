"""What all cards hold: the repos, the teacher, the text and how to do the run again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from hub_tools.core.languages import name_of
from hub_tools.core.plain import from_plain
from hub_tools.reporting import report as reports
from hub_tools.reporting.markdown import block, code, text
from hub_tools.reporting.reproduce import public, reproduce
from hub_tools.reporting.text import Report, markdown_table


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


def teacher_name(report: Report) -> str:
    """What to call the teacher in public: its Hub id, or the last part of its folder's name."""
    teacher = report["teacher"]
    return str(teacher["id"]) if teacher["revision"] else PurePath(teacher["id"]).name


def teacher_link(report: Report) -> str:
    """The teacher's name, as a link where it is on the Hub."""
    name = teacher_name(report)
    if not report["teacher"]["revision"]:
        return f"{code(name)} (a local folder)"
    return f"[{text(name)}](https://huggingface.co/{name})"


def links(names: Names, own: str) -> str:
    """A list of the repos of the run but the one that the card belongs to."""
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


def common_metadata(report: Report) -> dict[str, Any]:
    """What the metadata of model and tokenizer have in common."""
    teacher = report["teacher"]
    base = {"base_model": teacher["id"], "base_model_relation": "finetune"} if teacher["revision"] else {}
    return {"language": report["config"]["lang"], **license_of(report), **base}


def license_of(report: Report) -> dict[str, str]:
    """The license that the teacher's card names, with its name and link; nothing where it names none."""
    return dict(report["teacher"].get("license") or {})


def changed(report: Report, what: str) -> str:
    """What became of the teacher in the model repo or the tokenizer repo, as licenses want it told."""
    tokenizer = report["tokenizer"]
    if what == "tokenizer":
        return f"{tokenizer['kept']:,} of its tokens were kept and {tokenizer['added']:,} others put beside them"
    return (
        f"its tokenizer was replaced by one of {tokenizer['vocab_size']:,} tokens, its token embeddings with it, and "
        f"all weights were trained further"
    )


def example(report: Report) -> str:
    """A text to show: a search of the run, or plain words."""
    return str(report["searches"][0]["query"]) if report["searches"] else "a question"


def left_out(report: Report) -> str:
    """Why texts of a language were not embedded, or nothing."""
    embeddings = report["embeddings"]
    languages = [name_of(lang) for lang in embeddings["left_out"]]
    if not languages:
        return ""
    return (
        f"The teacher finds {100 * embeddings['teacher_bitext_accuracy']:.0f} % of the held-out translations, so its "
        f"own vectors of {', '.join(languages)} text are no goal: that language is taught by the parallel text alone."
    )


def corpus_table(report: Report) -> str:
    """What text the run read, and in which state."""
    corpus, chosen = report["corpus"], dict.fromkeys([*report["config"]["lang"], "en"])
    rows = [["text", "sources", "texts kept", "held out"]]
    for lang in (lang for lang in chosen if lang in corpus["text"]):
        own = corpus["text"][lang]
        sources = ", ".join(code(public(name)) for name in own["sources"])
        rows.append([name_of(lang), sources, f"{own['kept']:,}", f"{own.get('heldout', 0):,}"])
    others = [own for lang, own in corpus["text"].items() if lang not in chosen]
    if others:
        names = sorted({name for lang in corpus["text"] if lang not in chosen for name in sources_of(report, lang)})
        kept, heldout = (sum(own.get(key, 0) for own in others) for key in ("kept", "heldout"))
        label = f"{len(others)} other languages"
        rows.append([label, ", ".join(map(code, names)), f"{kept:,}", f"{heldout:,}"])
    if pairs := corpus["parallel"]:
        files = ", ".join(code(public(name)) for name in pairs["files"])
        rows.append(["parallel text, pairs", files, f"{pairs['kept']:,}", f"{pairs.get('heldout', 0):,}"])
    table = "\n".join(markdown_table(rows, numbers=False))
    read = [f"{code(name)} at {code(commit)}" for name, commit in corpus.get("revisions", {}).items() if commit]
    return f"{table}\n\nDatasets of the Hub were read as they were: {', '.join(read)}." if read else table


def sources_of(report: Report, lang: str) -> list[str]:
    """The sources of a language, with {lang} where they name it."""
    names = [public(name) for name in report["corpus"]["text"][lang]["sources"]]
    return [re.sub(rf"(?<![A-Za-z]){lang}(?![A-Za-z])", "{lang}", name) for name in names]


def how_to_reproduce(report: Report) -> str:
    """The command that does the run again, with its versions."""
    command, toml = reproduce(from_plain(reports.Report, report))
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    parts = [block(command, "bash")]
    if toml:
        parts += ["with `run.toml`:", block(toml, "toml")]
    if "PATH/" in command:
        parts.append("`PATH` stands for a folder on the machine of the run.")
    parts.append(f"Versions: {text(versions)}.")
    return "\n\n".join(parts)
