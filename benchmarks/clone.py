"""Cloning a teacher of EmbeddingGemma's size: seconds and memory; writes its section of docs/performance.md.

    python -m benchmarks.clone --tokenizer DIR [--work DIR]

DIR holds a tokenizer of 262,144 tokens, e.g. the one that benchmarks/surgery.py trains. The teacher has the
EmbeddingGemma shape (24 layers, 768 wide, two Dense heads) and random weights, once in fp32 and once in bf16, as it is
published; the student takes 131,072 of its tokens.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.document import write_section
from hub_tools.cloning.clone import clone
from hub_tools.core.files import read_json, write_json
from hub_tools.core.plain import to_plain
from hub_tools.corpus.build import Corpus
from hub_tools.models.resolve import find_teacher
from hub_tools.tokenization.bpe import Bpe
from hub_tools.tokenization.bpe_merges import Merge
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

STUDENT = 131_072
MOST_MEMORY, MOST_SECONDS = 2.5, 60.0


DTYPES = ("float32", "bfloat16")


def make_teacher(tokenizer: Path, out: Path, dtype: str) -> None:
    """A model of EmbeddingGemma's shape with random weights."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import Gemma3TextConfig, Gemma3TextModel

    files = TokenizerSpec.read(tokenizer)
    config = Gemma3TextConfig(
        vocab_size=max(files.vocab.values()) + 1,
        hidden_size=768,
        num_hidden_layers=24,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=256,
        intermediate_size=1152,
        max_position_embeddings=2048,
        sliding_window=512,
        use_bidirectional_attention=True,
    )
    wanted = getattr(torch, dtype)
    Gemma3TextModel(config).to(wanted).save_pretrained(out / "transformer")
    files.write(out / "transformer")
    plain: dict[str, Any] = {"bias": False, "activation_function": torch.nn.Identity()}
    first = modules.Transformer(str(out / "transformer"), max_seq_length=2048, model_kwargs={"dtype": wanted})
    heads = [modules.Dense(768, 3072, **plain), modules.Dense(3072, 768, **plain), modules.Normalize()]
    model = SentenceTransformer(modules=[first, modules.Pooling(768), *heads], device="cpu").to(wanted)
    model.save_pretrained(str(out / "teacher"), create_model_card=False)


def make_student(tokenizer: Path, out: Path) -> None:
    """A tokenizer with the first of the teacher's tokens, and an eighth of new ones, each of two kept ones."""
    files = TokenizerSpec.read(tokenizer)
    family = Bpe(files.spec)
    room = STUDENT - len(files.vocab) + len(files.model_vocab)
    kept = list(family.vocab)[: room - STUDENT // 8]
    plain = [token for token in kept[-80_000:] if token.isalpha()]
    pairs = zip(plain, reversed(plain), strict=True)
    new = {left + right: Merge(left, right, 1, is_new=True) for left, right in pairs}
    more = [merge for token, merge in new.items() if token not in family.vocab][: room - len(kept)]
    model = family.build(kept, [], more)
    files.with_model(model, files.spec["normalizer"], files.added_tokens, 2048).write(out)


def measure(work: Path) -> dict[str, Any]:
    """Clone once, in this process."""
    write_json(work / "corpus" / "stats.json", {"languages": [], "missing": [], "text": {}})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    started = time.monotonic()
    result = clone(
        find_teacher(str(work / "teacher")), work / "student", Corpus(work / "corpus"), work / "clone", init="align"
    )
    seconds = time.monotonic() - started
    usage = resource.getrusage(resource.RUSAGE_SELF)
    size = sum(file.stat().st_size for file in (work / "teacher").rglob("*.safetensors")) / 2**30
    computing = usage.ru_utime + usage.ru_stime
    return {
        "seconds": seconds,
        "cpu_seconds": computing,
        "peak_gib": usage.ru_maxrss / 2**20,
        "before_gib": before,
        "size_gib": size,
        **to_plain(result),
    }


def document(found: dict[str, dict[str, Any]]) -> None:
    """Write the section."""
    first = found[DTYPES[0]]
    kinds = ", ".join(f"{first[kind]:,} {kind}" for kind in ("exact", "composed", "byte", "fallback"))
    lines = [
        f"Written by `python -m benchmarks.clone --tokenizer DIR` on {time.strftime('%Y-%m-%d')}; two CPU cores.",
        "A teacher of EmbeddingGemma's shape and size, 262,144 tokens,",
        f"gets {STUDENT:,} of its own ({kinds}); the peak counts the libraries too.",
        "",
        "| stored in | GiB | seconds | of a core | peak GiB | times the teacher's size |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for dtype, own in found.items():
        lines.append(
            f"| {dtype} | {own['size_gib']:.2f} | {own['seconds']:.0f} | {own['cpu_seconds']:.0f} "
            f"| {own['peak_gib']:.2f} | {own['peak_gib'] / own['size_gib']:.2f} |"
        )
    write_section("performance.md", "clone", lines)


def main() -> None:
    """Make teacher and student where they are missing, clone in a process of its own, and write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("clone-benchmark"))
    parser.add_argument("--dtype", nargs="*", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--here", choices=["teacher", "student", "clone"], help="do one part in this process")
    args = parser.parse_args()
    if args.here:
        do_here(args.here, args.tokenizer, args.work, args.dtype[0])
        return
    found = {}
    for dtype in args.dtype:
        work = args.work / dtype
        work.mkdir(parents=True, exist_ok=True)
        for part, made in (("teacher", work / "teacher"), ("student", work / "student"), ("clone", work / "never")):
            if not made.exists():
                command = [sys.executable, "-m", "benchmarks.clone", "--tokenizer", str(args.tokenizer)]
                subprocess.run([*command, "--work", str(work), "--dtype", dtype, "--here", part], check=True)
        found[dtype] = read_json(work / "clone.json")
    print(json.dumps(found))
    if args.dtype == list(DTYPES):
        document(found)
    if any(f["seconds"] > MOST_SECONDS or f["peak_gib"] > MOST_MEMORY * f["size_gib"] for f in found.values()):
        sys.exit(f"Expected at most {MOST_SECONDS:.0f} s and {MOST_MEMORY} times the teacher's size.")


def do_here(part: str, tokenizer: Path, work: Path, dtype: str) -> None:
    """One part, in this process, so that the peak of memory is that of the clone alone."""
    if part == "teacher":
        make_teacher(tokenizer, work, dtype)
    elif part == "student":
        make_student(tokenizer, work / "student")
    else:
        write_json(work / "clone.json", measure(work))


if __name__ == "__main__":
    main()
