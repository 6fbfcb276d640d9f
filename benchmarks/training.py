"""Training against others, on the same texts, clone and machine; writes its section of docs/performance.md.

    python -m benchmarks.training --data DATA [--work DIR] [--texts N] [--rounds N] [--peer PYTHON] [--device cpu]

The clone is all-MiniLM with a Turkish vocabulary. The texts are those of its main job, Turkish sentences with the
vectors of their English translations, and a few of every language with their own, mixed in length. Each trainer passes
once through N of them, at its own defaults (ours in wide steps too), in a process of its own; the held-out cosine is
measured afterwards with the same code. PYTHON is that of an environment with distil-trainer; without it, that row is
left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.document import table, write_section
from hub_tools.config import DistillConfig, RunConfig
from hub_tools.core.files import write_json
from hub_tools.core.hardware import choose_hardware, keep_freed_memory
from hub_tools.models.encoder import encode
from hub_tools.models.loading import backbone, load_model
from hub_tools.models.resolve import bundled_teacher
from hub_tools.pipeline import run
from hub_tools.training.data import TokenizedTexts, TrainingSet
from hub_tools.training.trainer import Trainer
from hub_tools.vectors.dataset import EmbeddingDataset

WIDE_TOKENS = 2048
OURS, WIDE = "hub-distill", f"hub-distill --batch-tokens {WIDE_TOKENS}"
PLAIN, BF16, PEER = "SentenceTransformerTrainer", "the same, bf16=True", "distil-trainer 0.1.27"
HELDOUT, PAIRS = 400, 3000
# Where the time of a step shall go; all other operators move or add numbers.
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::linear", "mkldnn", "attention", "softmax")
Texts = tuple[list[str], NDArray[np.float16]]


def prepare(data: Path, work: Path, texts: int) -> None:
    """Clone and vectors, and the texts that all trainers get."""
    options = {
        "teacher": str(bundled_teacher()),
        "lang": "tr",
        "output": str(work / "run"),
        "corpus": {
            "sources": [str(data / "text/{lang}.txt.gz")],
            "parallel": [str(data / "bitext/en-tr-train.tsv.gz")],
            "limit": PAIRS,
        },
        "tokenizer": {"vocab_size": 16000},
        "embed": {"distill_limit": PAIRS // 150},
    }
    run(RunConfig.from_dict(options), last="clone")
    run(RunConfig.from_dict(options), last="embed")
    embeddings = EmbeddingDataset(work / "run" / "embeddings")
    chosen, vectors = sample(embeddings, texts + HELDOUT)
    for split, part in (("train", slice(texts)), ("validation", slice(texts, None))):
        write_json(work / f"{split}.json", chosen[part])
        np.save(work / f"{split}.npy", vectors[part])


def sample(embeddings: EmbeddingDataset, count: int) -> Texts:
    """Texts drawn at random, of pairs the Turkish side, and their vectors."""
    texts: list[str] = []
    vectors = []
    for batch in embeddings.batches("train"):
        texts += [translation or text for text, translation in zip(batch.texts, batch.translations, strict=True)]
        vectors.append(batch.vectors)
    chosen = np.random.default_rng(0).permutation(len(texts))[:count]
    return [texts[i] for i in chosen], np.concatenate(vectors)[chosen]


def read(work: Path, split: str) -> Texts:
    """What `prepare` wrote."""
    return json.loads((work / f"{split}.json").read_text(encoding="utf-8")), np.load(work / f"{split}.npy")


def training_set(clone: Path, texts: Texts, longest: int) -> TrainingSet:
    """Texts as the stage `distill` has them."""
    builder = TokenizedTexts.Builder(clone / "tokenizer.json", longest)
    builder.add(texts[0])
    numbers = np.arange(len(texts[0]))
    return TrainingSet(
        texts=builder.build(),
        target_index=numbers,
        targets=texts[1],
        source=-1 - 0 * numbers,
        is_translation=numbers < 0,
        is_other=numbers < 0,
    )


def our_trainer(work: Path, out: Path, device: str, batch_tokens: int | None = None) -> Trainer:
    """The stage `distill`, one pass, at its defaults but for the size of a step where one is given."""
    clone = work / "run" / "clone"
    model = load_model(clone, device=device)
    data = training_set(clone, read(work, "train"), model.max_seq_length or 512)
    hardware = choose_hardware(device, "auto")
    if hardware.device == "cpu":
        keep_freed_memory()
    config = DistillConfig(epochs=1, batch_tokens=batch_tokens)
    trainer = Trainer(model, data, data, out, config, hardware=hardware, seed=1)
    # A run finds it from its first evaluation, which is not what is timed.
    trainer.config = replace(config, steps=len(trainer.epoch(0)))
    return trainer


def ours(work: Path, out: Path, device: str, batch_tokens: int | None = None) -> float:
    """Train, and return the seconds; tokenizing counts, as it does for the others."""
    started = time.perf_counter()
    training_set(work / "run" / "clone", read(work, "train"), 512)
    tokenizing = time.perf_counter() - started
    trainer = our_trainer(work, out, device, batch_tokens)
    started = time.perf_counter()
    for batch in trainer.batches():
        trainer.take_step(batch)
    seconds = time.perf_counter() - started
    trainer.student.model.eval()
    trainer.student.model.save_pretrained(str(out), create_model_card=False)
    return tokenizing + seconds


def theirs(work: Path, out: Path, device: str, *, bf16: bool) -> float:
    """SentenceTransformerTrainer with EmbedDistillLoss, batches of 64."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss

    texts, vectors = read(work, "train")
    model = load_model(work / "run" / "clone", device=device)
    data = Dataset.from_dict({"sentence": texts, "label": vectors.astype(np.float32).tolist()})
    args = SentenceTransformerTrainingArguments(
        str(out / "log"), per_device_train_batch_size=64, num_train_epochs=1, bf16=bf16, report_to="none",
        save_strategy="no", disable_tqdm=True, use_cpu=device == "cpu",
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(model=model, args=args, train_dataset=data, loss=EmbedDistillLoss(model))
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    model.save_pretrained(str(out), create_model_card=False)
    return seconds


def peer(work: Path, out: Path, python: str) -> float:
    """distil-trainer in its own environment."""
    program = Path(__file__).parent / "peer_distil_trainer.py"
    files = [work / "run" / "clone", work / "train.json", work / "train.npy", out]
    done = subprocess.run([python, str(program), *map(str, files)], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def heldout_cosine(work: Path, student: Path, device: str) -> float:
    """Mean cosine to the teacher's vectors of held-out texts, in fp32."""
    texts, wanted = read(work, "validation")
    found = encode(load_model(student, device=device), texts, choose_hardware(device, "fp32"))
    goal = wanted.astype(np.float32)
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(goal, axis=1)
    return float(((found * goal).sum(axis=1) / norms).mean())


def compete(name: str, work: Path, device: str, python: str | None) -> dict[str, float]:
    """Seconds and held-out cosine of a trainer."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        trainers: dict[str, Callable[[], float]] = {
            OURS: lambda: ours(work, out, device),
            WIDE: lambda: ours(work, out, device, WIDE_TOKENS),
            PLAIN: lambda: theirs(work, out, device, bf16=False),
            BF16: lambda: theirs(work, out, device, bf16=True),
            PEER: lambda: peer(work, out, python or sys.executable),
        }
        seconds = trainers[name]()
        return {"seconds": seconds, "cosine": heldout_cosine(work, out, device)}


def in_a_process(what: str, args: argparse.Namespace) -> Any:
    """Measure something in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.training", "--one", what, "--work", str(args.work)]
    command += ["--data", str(args.data), "--device", args.device, *(["--peer", args.peer] if args.peer else [])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def product_rate(device: str, precision: str) -> float:
    """Floating-point operations per second of a large matrix product, the best of ten."""
    import torch

    size = 8192 if device == "cuda" else 2048
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(10):
        started = time.perf_counter()
        torch.mm(a, b)[0, 0].item()  # waits for the device
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times)


def profile(work: Path, device: str) -> dict[str, Any]:
    """Where the time of a step goes, and how much of it is arithmetic that cannot be saved."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        trainer = our_trainer(work, Path(folder), device)
        batches = trainer.epoch(0)[:4]
        trainer.take_step(batches[0])
        activities = [torch.profiler.ProfilerActivity.CPU]
        if device == "cuda":
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        with torch.profiler.profile(activities=activities) as found:
            for batch in batches[1:]:
                trainer.take_step(batch)
        of = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
        times = {event.key: float(getattr(event, of)) for event in found.key_averages()}
        total = sum(times.values())
        largest = sorted(times.items(), key=lambda item: -item[1])[:8]
        lengths = trainer.train_set.texts.lengths.astype(np.float64)
        config = backbone(trainer.student.model).config
        weights = sum(p.numel() for n, p in backbone(trainer.student.model).named_parameters() if "embeddings" not in n)
        attention = 12 * config.num_hidden_layers * config.hidden_size * float((lengths**2).sum())
        return {
            "products": sum(t for name, t in times.items() if any(part in name for part in PRODUCTS)) / total,
            "largest": [(name, t / total) for name, t in largest],
            "operations": 6 * weights * float(lengths.sum()) + attention,
            "tokens": int(lengths.sum()),
            "mean_length": float(lengths.mean()),
            "precision": trainer.hardware.precision,
            "rate": product_rate(device, trainer.hardware.precision),
        }


def document(found: dict[str, list[dict[str, float]]], told: dict[str, Any], args: argparse.Namespace) -> None:
    """Write the section."""
    seconds = {name: statistics.median(one["seconds"] for one in rounds) for name, rounds in found.items()}
    rows = [["trainer", "seconds", "tokens/s", "hub-distill is faster by", "in wide steps", "held-out cosine"]]
    for name, rounds in found.items():
        factors = ["" if name in (OURS, WIDE) else f"{seconds[name] / seconds[own]:.1f}" for own in (OURS, WIDE)]
        cosine = statistics.median(one["cosine"] for one in rounds)
        speed = f"{told['tokens'] / seconds[name]:,.0f}"
        rows.append([name, f"{seconds[name]:.1f}", speed, *factors, f"{cosine:.4f}"])
    share = told["operations"] / seconds[OURS] / told["rate"]
    write_section(
        "performance.md",
        "training",
        [
            f"Written by `python -m benchmarks.training --data DATA` on {time.strftime('%Y-%m-%d')}; {args.device}, "
            f"{os.cpu_count()} cores, {platform.machine()}; hub-distill chose {told['precision']}.",
            "",
            f"One pass through {args.texts:,} texts of {told['mean_length']:.0f} tokens in the mean "
            f"({told['tokens']:,} tokens, padding not counted), each trainer at its defaults; medians of "
            f"{len(found[OURS])} in turn.",
            "",
            *table(rows),
            "",
            f"A large {told['precision']} matrix product runs at {told['rate'] / 1e9:,.0f} GFLOP/s here; training "
            f"needs {told['operations'] / 1e9:,.0f} GFLOP without padding and reaches {share:.0%} of that rate.",
            f"Matrix products and attention take {told['products']:.0%} of a step:",
            "",
            *table([["operator", "share of a step"], *([f"`{name}`", f"{t:.1%}"] for name, t in told["largest"])]),
        ],
    )


def main() -> None:
    """Measure everything and write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/training"))
    parser.add_argument("--texts", type=int, default=3200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one")
    args = parser.parse_args()
    if args.one == "profile":
        print(json.dumps(profile(args.work, args.device)))
    elif args.one:
        print(json.dumps(compete(args.one, args.work, args.device, args.peer)))
    else:
        prepare(args.data, args.work, args.texts)
        told = in_a_process("profile", args)
        # A processor without bf16 emulates it, many times slower: that would be no competitor.
        names = [OURS, WIDE, PLAIN, *([BF16] if told["precision"] == "bf16" else []), *([PEER] if args.peer else [])]
        found: dict[str, list[dict[str, float]]] = {}
        for _ in range(args.rounds):
            for name in names:
                found.setdefault(name, []).append(in_a_process(name, args))
                print(name, found[name][-1], flush=True)
            document(found, told, args)  # after each round: one that is cut off leaves what was measured


if __name__ == "__main__":
    main()
