"""Ways to make new embedding rows, compared on all-MiniLM-L6-v2; writes its section of docs/results.md.

    python -m benchmarks.init --data DIR [--work DIR] [--lang tr ...] [--init ...] [--train ...] [--alone]

`--alone` compares the ways that need no parallel text, and trains on the target language and English alone.

DIR holds text/, bitext/ and sts/. Judged on the STSb dev split and on held-out pairs; no test split is read.
Each figure is kept in WORK as it is measured, so a run that was cut off goes on, and parts can be run one by one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from scipy.stats import spearmanr

from benchmarks.document import table as markdown
from benchmarks.document import write_section
from benchmarks.tables import rows_of
from hub_tools.cloning.clone import clone
from hub_tools.config import DistillConfig, RunConfig
from hub_tools.config_clone import Init
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.core.plain import to_plain
from hub_tools.corpus.build import Corpus
from hub_tools.evaluation.data import read_similarity
from hub_tools.models.encoder import encode, unit
from hub_tools.models.loading import load_model
from hub_tools.models.resolve import bundled_teacher, find_teacher
from hub_tools.pipeline import run
from hub_tools.training.distill import distill
from hub_tools.vectors.bitext import heldout_pairs
from hub_tools.vectors.dataset import EmbeddingDataset

LANGUAGES = {"tr": "Turkish", "fr": "French", "ru": "Russian", "ja": "Japanese"}
INITS: tuple[Init, ...] = ("mean", "position", "length", "frequency", "focus", "align", "token_distillation")
CPU = Hardware(device="cpu", precision="fp32")
ALONE: tuple[Init, ...] = ("mean", "position", "length", "frequency", "focus")
VOCAB, STEPS, BATCH_TOKENS, RATE, EVERY = 16384, 40, 2048, 1e-3, 3
# Lines of each language that are trained on where there are no pairs; more than the steps can read.
ALONE_TEXTS = 3000


def write_pairs(data: Path, lang: str, out: Path) -> Path:
    """Parallel text: every fifth training pair for Turkish, else NTREX-128, FLORES-200 devtest and Tatoeba."""
    if lang == "tr":
        pairs = [(row["en"], row["tr"]) for row in islice(rows_of(data / "bitext/en-tr-train.tsv.gz"), 0, None, 5)]
    else:
        pairs = [
            (row["en"], row[lang])
            for name in ("ntrex128", "flores200-devtest")
            for row in rows_of(data / f"bitext/{name}.tsv.gz")
        ]
        tatoeba = rows_of(data / "bitext/tatoeba-laser.tsv.gz")
        pairs += [(row["en"], row["text"]) for row in tatoeba if row["lang"] == lang]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(f"en\t{lang}\n" + "".join(f"{en}\t{own}\n" for en, own in pairs), encoding="utf-8")
    return out


def prepare(data: Path, work: Path, lang: str, *, alone: bool = False) -> RunConfig:
    """Corpus and tokenizer of a language, with parallel text or without."""
    for own in (lang, "en"):
        (work / lang / "text").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data / f"text/{own}.txt.gz", work / lang / "text" / f"{own}.txt.gz")
    config = RunConfig.from_dict(
        {
            "teacher": str(bundled_teacher()),
            "lang": lang,
            "output": str(place(work, lang, alone) / "run"),
            "device": "cpu",
            "precision": "fp32",
            "corpus": {
                "sources": [str(work / lang / "text/{lang}.txt.gz")],
                "parallel": [] if alone else [str(write_pairs(data, lang, work / lang / "pairs.tsv"))],
                "limit": 20_000,
            },
            "tokenizer": {"vocab_size": VOCAB},
            "clone": {"init": "position"},
            "embed": {"distill_limit": ALONE_TEXTS if alone else 0},
        }
    )
    run(config, last="tokenizer")
    return config


def place(work: Path, lang: str, alone: bool) -> Path:
    """Where the figures of a language are."""
    return work / lang / "alone" if alone else work / lang


def judged(work: Path, lang: str) -> dict[str, str]:
    """The held-out pairs that all clones of a language are judged by."""
    return heldout_pairs(Corpus(work / lang / "run" / "corpus"))


def spearman(folder: Path, data: Path, lang: str) -> float:
    """STSb dev, Spearman; of every third pair, which costs a third and orders the ways as well."""
    pairs = read_similarity(str(data / f"sts/stsb-{lang}-dev.tsv.gz"), lang)
    model = load_model(folder, device="cpu")
    a, b = (unit(encode(model, side[::EVERY], CPU)) for side in (pairs.first, pairs.second))
    return float(spearmanr((a * b).sum(axis=1), pairs.scores[::EVERY]).statistic)


def cosines(folder: Path, pairs: dict[str, str]) -> dict[str, float]:
    """Mean cosine to the teacher's vector of the same text, and of its English translation."""
    own = unit(encode(load_model(folder, device="cpu"), list(pairs.values()), CPU))
    goals = {"same": tuple(pairs.values()), "translation": tuple(pairs)}
    return {name: float((own * by_teacher(texts)).sum(axis=1).mean()) for name, texts in goals.items()}


@cache
def by_teacher(texts: tuple[str, ...]) -> Any:
    """The teacher's vectors of texts, computed once in a process."""
    return unit(encode(load_model(bundled_teacher(), device="cpu"), list(texts), CPU))


def measure(config: RunConfig, data: Path, out: Path, init: Init, pairs: dict[str, str]) -> None:
    """A clone with rows made in one way, before any training."""
    lang, corpus = config.target, Corpus(config.output / "corpus")
    started = time.monotonic()
    result = clone(
        find_teacher(config.teacher), config.output / "tokenizer", corpus, out / "clone", init=init, targets=(lang,)
    )
    seconds = time.monotonic() - started
    found = {
        "seconds": seconds,
        **to_plain(result),
        **cosines(out / "clone", pairs),
        "sts": spearman(out / "clone", data, lang),
        "english": spearman(out / "clone", data, "en"),
        "pairs": corpus.result.parallel.train if corpus.result.parallel else 0,
    }
    write_json(out / "before.json", found)


def train(config: RunConfig, data: Path, out: Path, pairs: dict[str, str]) -> None:
    """The same clone after a short training, the same for all."""
    options = DistillConfig(steps=STEPS, batch_tokens=BATCH_TOKENS, learning_rate=RATE, eval_steps=STEPS)
    run(config, last="embed")  # found again by all but the first
    embeddings = EmbeddingDataset(config.output / "embeddings")
    distill(out / "clone", embeddings, out / "student", options, hardware=CPU, seed=1)
    found = {
        **cosines(out / "student", pairs),
        "sts": spearman(out / "student", data, config.target),
        "english": spearman(out / "student", data, "en"),
    }
    write_json(out / "after.json", found)


def figures(folder: Path, init: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was measured before and after training; empty where nothing was."""
    files = [folder / init / name for name in ("before.json", "after.json")]
    before, after = (read_json(file) if file.exists() else {} for file in files)
    return before, after


def section(work: Path, data: Path) -> list[str]:
    """Markdown of all that was measured."""
    lines = [
        f"Written by `python -m benchmarks.init --data DATA` on {time.strftime('%Y-%m-%d')}: all-MiniLM-L6-v2 with "
        f"{VOCAB:,} tokens,",
        f"then {STEPS} steps of {BATCH_TOKENS:,} tokens at a rate of {RATE:g} on the parallel text for the contenders,",
        "on one thread.",
        "Cosine: of the clone's vector of held-out sentences to the teacher's of the same sentence, and of its English",
        "translation. STS: every third pair of the STSb dev split, Spearman x100; no test split was read.",
        "",
    ]
    for lang, name in LANGUAGES.items():
        for alone in (False, True):
            rows = [(init, *figures(place(work, lang, alone), init)) for init in INITS]
            known = [before for _, before, _ in rows if before]
            if known:
                lines += [f"#### {name}{', without parallel text' if alone else ''}", ""]
                lines += [about(known[0], teacher_sts(work, data, lang)), "", *comparison(rows, alone=alone), ""]
    return lines


def teacher_sts(work: Path, data: Path, lang: str) -> float:
    """The teacher's own figure, measured once."""
    file = work / lang / "teacher.json"
    if not file.exists():
        write_json(file, {"sts": spearman(bundled_teacher(), data, lang)})
    return float(read_json(file)["sts"])


def about(found: dict[str, Any], sts: float) -> str:
    """What all rows of a table share."""
    pairs = f"{found['pairs']:,} pairs; " if found["pairs"] else f"{ALONE_TEXTS:,} sentences of it and of English; "
    return (
        f"{pairs}{found['composed']:,} of {VOCAB:,} tokens are new; fallback {found['fallback']}. "
        f"Teacher: STS {100 * sts:.1f}."
    )


def comparison(rows: list[tuple[Init, dict[str, Any], dict[str, Any]]], *, alone: bool) -> list[str]:
    """A table; where the goal of the training is the teacher's vector of the same text, its cosine is to that."""
    goal, said = ("same", "same text") if alone else ("translation", "translation")
    head = ["rows", "cosine, same text", "cosine, translation", "STS", "English STS"]
    head += [f"trained: cosine, {said}", "STS", "English STS", "seconds"]
    cells = [head]
    for init, before, after in rows:
        if before:
            line = [f"`{init}`", f"{before['same']:.3f}", f"{before['translation']:.3f}"]
            line += [f"{100 * before[key]:.1f}" for key in ("sts", "english")]
            line += (
                [f"{after[goal]:.3f}", *(f"{100 * after[key]:.1f}" for key in ("sts", "english"))]
                if after
                else [""] * 3
            )
            cells.append([*line, f"{before['seconds']:.0f}"])
    return markdown(cells)


def document(work: Path, data: Path) -> None:
    """Write the section."""
    write_section("results.md", "init", section(work, data))


def main() -> None:
    """Measure what is asked for and is not there yet, then write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("init-benchmark"))
    parser.add_argument("--lang", nargs="*", choices=LANGUAGES, default=list(LANGUAGES))
    parser.add_argument("--init", nargs="*", choices=get_args(Init), default=list(INITS))
    parser.add_argument(
        "--train", nargs="*", choices=get_args(Init), default=["position", "focus", "token_distillation", "align"]
    )
    parser.add_argument("--alone", action="store_true")
    args = parser.parse_args()
    for lang in args.lang:
        config, pairs = prepare(args.data, args.work, lang, alone=args.alone), judged(args.work, lang)
        folder = place(args.work, lang, args.alone)
        for init in (init for init in args.init if init in ALONE or not args.alone):
            out = folder / init
            if not (out / "before.json").exists():
                measure(config, args.data, out, init, pairs)
            if init in args.train and not (out / "after.json").exists():
                train(config, args.data, out, pairs)
            print(lang, init, json.dumps(figures(folder, init)), flush=True)
    document(args.work, args.data)


if __name__ == "__main__":
    main()
