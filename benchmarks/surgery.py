"""Measure tokenizer surgery at full size on real text; `surgery_document.py` writes what was found.

    python -m benchmarks.surgery --data DIR [--only tekken|gemma|mistral|unigram|map|identity|none] [--work DIR]
    python -m benchmarks.surgery --data DIR --only languages --teacher DIR

DIR holds text/{lang}.txt.gz, text-tr/*.txt.gz and bitext/ntrex128.tsv.gz. Needs mistral-common and sentencepiece for
the real tokenizers. Figures are kept in WORK as they are measured, so parts can be run one by one. Exits with 1 when a
bar is missed. NTREX-128 is only measured on: nothing was chosen with it. `languages` times the stage alone, on any text
in that layout, for the tokenizer of a TEACHER such as multilingual-e5-small.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, trainers

from benchmarks import teachers
from benchmarks.surgery_document import document
from benchmarks.tables import rows_of
from hub_tools.cloning.mean import subword_mean
from hub_tools.config import TokenizerConfig
from hub_tools.core.languages import LANGUAGES
from hub_tools.models.resolve import bundled_teacher
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.language_weights import language_weights
from hub_tools.tokenization.make import make_tokenizer
from hub_tools.tokenization.pretokenization import count_words
from hub_tools.tokenization.token_map import Match, map_tokens
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.vocabulary_size import half_size

TARGET = "tr"
PARTS = ("tekken", "gemma", "mistral", "unigram", "map")
# Texts of each language but the target, where the stage is timed.
_TEXTS = 6_500
Texts = dict[str, Callable[[], Iterable[str]]]


def lines(file: Path) -> Iterator[str]:
    """Lines of a gzipped text."""
    with gzip.open(file, "rt", encoding="utf-8") as text:
        for line in text:
            yield line.rstrip("\n")


def texts_of(data: Path) -> Texts:
    """Text of every language there, with all Turkish files for Turkish."""
    found: Texts = {file.name.split(".")[0]: partial(lines, file) for file in sorted((data / "text").glob("*.txt.gz"))}
    turkish = [data / "text/tr.txt.gz", *sorted((data / "text-tr").glob("*.txt.gz"))]
    found[TARGET] = lambda: chain.from_iterable(lines(file) for file in turkish)
    return found


def balanced(data: Path, limit: int = 20_000) -> Iterator[str]:
    """At most so many lines of every language, as a multilingual teacher would have seen them."""
    for file in sorted((data / "text").glob("*.txt.gz")):
        yield from islice(lines(file), limit)


def ntrex(data: Path) -> dict[str, list[str]]:
    """NTREX-128: the same 1,997 sentences in every language."""
    rows = list(rows_of(data / "bitext/ntrex128.tsv.gz"))
    return {lang: [row[lang] for row in rows] for lang in rows[0] if lang not in ("id", "doc")}


def tokens(files: TokenizerSpec, texts: list[str]) -> int:
    """Tokens without the template's."""
    return sum(len(e.ids) for e in files.load().encode_batch_fast(texts, add_special_tokens=False))


def operate(teacher: TokenizerSpec, size: int, data: Path) -> dict[str, Any]:
    """Time the surgery and measure the student on NTREX-128."""
    texts = texts_of(data)
    started = time.monotonic()
    counting = teacher.load()
    for open_texts in texts.values():
        count_words(counting, open_texts())
    reading = time.monotonic() - started
    started = time.monotonic()
    made = Adaptation(teacher, texts, targets=(TARGET,), config=TokenizerConfig(vocab_size=size)).make()
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    test = ntrex(data)
    words = sum(len(text.split()) for text in test[TARGET])
    before, after = ({lang: tokens(files, own) for lang, own in test.items()} for files in (teacher, made.student))
    others = {lang: after[lang] / before[lang] - 1 for lang in test if lang not in (TARGET, "en")}
    return {
        "teacher_size": len(teacher.load().get_vocab(with_added_tokens=True)),
        "seconds_reading": reading,
        "seconds_after_reading": seconds - reading,
        "peak_gib": peak,
        "target": [before[TARGET] / words, after[TARGET] / words],
        "english": after["en"] / before["en"] - 1,
        "others": statistics.mean(others.values()),
        "worst": sorted(others.items(), key=lambda item: -item[1])[:5],
        "languages": len(others),
        "native": native(made.student, texts, test[TARGET]),
        **{k: v for k, v in made.summary().items() if k not in ("new_characters", "normalizer_changes")},
    }


def native(student: TokenizerSpec, texts: Texts, test: list[str]) -> dict[str, float]:
    """Tokens on the target against BPEs trained from nothing with as many tokens as the student spends on it.

    What it spends is counted in two ways: every token that the text uses, were it once; and each of these by the
    target's share of its use, so that what all languages spend adds up to the vocabulary.
    """
    plain, weights = student.load(), language_weights(list(texts), (TARGET,), len(student.vocab))
    own = use(plain, texts[TARGET]())
    others = sum(weights[lang] * use(plain, islice(texts[lang](), 20_000)) for lang in texts if lang != TARGET)
    shares = weights[TARGET] * own[own > 0] / (weights[TARGET] * own + others)[own > 0]
    ours = tokens(student, test)
    used, spent = len(shares), round(float(shares.sum()))
    ratios = {size: ours / trained_from_nothing(plain, texts[TARGET], size, test) for size in (used, spent)}
    return {"used": used, "used_ratio": ratios[used], "spent": spent, "ratio": ratios[spent]}


def use(tokenizer: Tokenizer, texts: Iterable[str]) -> Any:
    """The share of each token in running text."""
    numbers = [np.array(e.ids) for e in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
    counts = np.bincount(np.concatenate(numbers), minlength=tokenizer.get_vocab_size())
    return counts / counts.sum()


def trained_from_nothing(like: Tokenizer, texts: Callable[[], Iterable[str]], size: int, test: list[str]) -> int:
    """Tokens that a BPE of this size needs for the test, trained with the normalizer and words of another."""
    trained = Tokenizer(models.BPE())
    if like.normalizer is not None:
        trained.normalizer = like.normalizer
    trained.pre_tokenizer = teachers.word_splitter(like)
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, max_token_length=16)
    trained.train_from_iterator(texts(), trainer)
    return sum(len(e.ids) for e in trained.encode_batch_fast(test, add_special_tokens=False))


def tekken(data: Path, _: Path) -> dict[str, Any]:
    """Byte-level BPE: Tekken halved for Turkish."""
    return operate(teachers.tekken(), 65_536, data)


def mistral(data: Path, _: Path) -> dict[str, Any]:
    """BPE with byte fallback: Mistral's first tokenizer, same size, for Turkish."""
    return operate(teachers.mistral_v1(), 32_000, data)


def gemma(data: Path, work: Path) -> dict[str, Any]:
    """A tokenizer of Gemma's shape, halved for Turkish."""
    return operate(gemma_teacher(data, work), 131_072, data)


def gemma_teacher(data: Path, work: Path) -> TokenizerSpec:
    """The one of the benchmark, trained at the first call."""
    folder = work / "gemma-shaped"
    if not (folder / "tokenizer.json").exists():
        teachers.gemma_shaped(balanced(data)).write(folder)
    return TokenizerSpec.read(folder)


def unigram(data: Path, work: Path) -> dict[str, Any]:
    """A Unigram tokenizer of 32,000 pieces trained by SentencePiece on all languages, halved."""
    return operate(unigram_teacher(data, work), 16_000, data)


def unigram_teacher(data: Path, work: Path) -> TokenizerSpec:
    """The one of the benchmark, trained at the first call; the training is slow, so it sees 2,000 lines a language."""
    folder = work / "unigram"
    if not (folder / "tokenizer.json").exists():
        teachers.unigram(balanced(data, 2_000), 32_000).write(folder)
    return TokenizerSpec.read(folder)


def map_rows(data: Path, work: Path) -> dict[str, Any]:
    """The map and the new rows for 131,072 x 768 from 262,144 x 768."""
    teacher = gemma_teacher(data, work)
    adapted = Adaptation(teacher, texts_of(data), targets=(TARGET,), config=TokenizerConfig(vocab_size=131_072)).make()
    rows = np.random.default_rng(0).standard_normal((262_144, 768), dtype=np.float32)
    started = time.monotonic()
    token_map = map_tokens(teacher, adapted.student)
    mapped = time.monotonic() - started
    new_rows = subword_mean(token_map, rows)
    total = time.monotonic() - started
    counts = {kind.name.lower(): token_map.count(kind) for kind in Match}
    return {"seconds_map": mapped, "seconds_map_and_rows": total, "shape": list(new_rows.shape), **counts}


def identity(data: Path, work: Path) -> dict[str, int]:
    """Lines of all text on which the teacher's own vocabulary, asked for, gives other ids."""
    found = {}
    known: dict[str, Callable[[], TokenizerSpec]] = {
        "tekken": teachers.tekken,
        "mistral": teachers.mistral_v1,
        "gemma-shaped": partial(gemma_teacher, data, work),
        "unigram": partial(unigram_teacher, data, work),
        "MiniLM": lambda: TokenizerSpec.read(bundled_teacher()),
    }
    for name, open_teacher in known.items():
        teacher = open_teacher()
        size = len(teacher.load().get_vocab(with_added_tokens=True))
        config = TokenizerConfig(vocab_size=size, learn=0, keep_normalizer=True)
        own = {TARGET: partial(lines, data / "text/tr.txt.gz")}
        same = Adaptation(teacher, own, targets=(TARGET,), config=config).make().student
        found[name] = different(teacher.load(), same.load(), texts_of(data).values())
    return found


def different(one: Tokenizer, other: Tokenizer, texts: Iterable[Callable[[], Iterable[str]]]) -> int:
    """How many texts two tokenizers read in different ways."""
    pairs = (
        zip(*(t.encode_batch_fast(own) for t in (one, other)), strict=True) for own in map(list, (t() for t in texts))
    )
    return sum(a.ids != b.ids for own in pairs for a, b in own)


def languages(data: Path, work: Path, teacher: Path) -> dict[str, Any]:
    """Time the whole stage with nothing learned, in two languages and in all balanced ones that have text."""
    files, every = TokenizerSpec.read(teacher), texts_of(data)
    found: dict[str, Any] = {"teacher": teacher.name, "tokens": len(files.vocab)}
    for name, chosen in (("two", [TARGET, "en"]), ("all", [lang for lang in LANGUAGES if lang in every])):
        texts = {lang: list(islice(every[lang](), None if lang == TARGET else _TEXTS)) for lang in chosen}
        sizes = [len(text.encode()) for own in texts.values() for text in own]
        started, before = time.monotonic(), os.times()
        make_tokenizer(
            Adaptation(
                files,
                {lang: own.__iter__ for lang, own in texts.items()},
                targets=(TARGET,),
                config=TokenizerConfig(vocab_size=min(32_768, half_size(len(files.vocab))), learn=0),
                max_seq_length=512,
                text_count=len(sizes),
            ),
            work / "languages",
            samples={lang: own[:1000] for lang, own in texts.items()},
        )
        after, seconds = os.times(), time.monotonic() - started
        cpu = after.user + after.system - before.user - before.system
        found[name] = [len(texts), len(sizes), sum(sizes) / 1e6, seconds, cpu]
    return found


def main() -> None:
    """Measure what is asked for, each part in a process of its own so that peaks are its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("surgery-benchmark"))
    parser.add_argument(
        "--only", choices=[*PARTS, "languages", "identity", "none"], help="none: write from what is there"
    )
    parser.add_argument("--teacher", type=Path, help="folder with a tokenizer.json, for languages")
    parser.add_argument("--here", action="store_true", help="measure in this process")
    args = parser.parse_args()
    if args.only == "languages" and args.teacher is None:
        parser.error("--only languages needs --teacher")
    args.work.mkdir(parents=True, exist_ok=True)
    alone = {part.__name__: part for part in (tekken, gemma, mistral, unigram, identity)}
    parts: dict[str, Any] = {**alone, "map": map_rows, "languages": partial(languages, teacher=args.teacher)}
    if args.here:
        found = parts[args.only](args.data, args.work)
        (args.work / f"{args.only}.json").write_text(json.dumps(found, indent=2), encoding="utf-8")
        return
    for name in [*PARTS, "identity"] if args.only is None else [args.only]:
        if name != "none":
            command = [sys.executable, "-m", "benchmarks.surgery", "--data", str(args.data), "--work", str(args.work)]
            teacher = ["--teacher", str(args.teacher)] if args.teacher else []
            subprocess.run([*command, *teacher, "--only", name, "--here"], check=True)
    short = document(args.work)
    if short:
        raise SystemExit("Missed: " + "; ".join(short))


if __name__ == "__main__":
    main()
