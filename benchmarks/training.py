"""Training speed against SentenceTransformerTrainer, on the same texts, student and hardware.

    python benchmarks/training.py RUN [--steps 20]

RUN is a finished run folder. Prints tokens of text (padding not counted) per second and their ratios.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss

from hub_tools.batches import epoch_batches
from hub_tools.config import DistillConfig
from hub_tools.distill import _Trainer, load_examples
from hub_tools.embed import Embeddings
from hub_tools.models import choose_hardware, load_model


def ours(run: Path, steps: int) -> float:
    """Tokens of text per second of the distill stage."""
    hardware = choose_hardware("auto", "auto")
    folder = Path(tempfile.mkdtemp())
    config = DistillConfig(steps=10_000)
    trainer = _Trainer(run / "clone", Embeddings(run / "embeddings"), folder, config, hardware=hardware, seed=1)
    lengths = trainer.data.texts.lengths
    batches = epoch_batches(lengths, config.batch_tokens, 1, 0)[: steps + 2]
    for batch in batches[:2]:
        trainer._take_step(batch)
    start = time.perf_counter()
    for batch in batches[2:]:
        trainer._take_step(batch)
    seconds = time.perf_counter() - start
    shutil.rmtree(folder)
    return int(sum(lengths[batch].sum() for batch in batches[2:])) / seconds


def theirs(run: Path, texts: int, *, bf16: bool) -> float:
    """Tokens of text per second of SentenceTransformerTrainer at its defaults, batch 64."""
    model = load_model(run / "clone", device="cpu")
    embeddings = Embeddings(run / "embeddings")
    batch = next(embeddings.batches("train"))
    chosen = np.random.default_rng(0).permutation(len(batch.texts))[:texts]
    sentences = [batch.translations[i] or batch.texts[i] for i in chosen]
    data = Dataset.from_dict({"sentence": sentences, "label": batch.vectors[chosen].astype(np.float32).tolist()})
    tokens = sum(len(ids) for ids in model.tokenizer(sentences)["input_ids"])
    with tempfile.TemporaryDirectory() as folder:
        args = SentenceTransformerTrainingArguments(
            folder, per_device_train_batch_size=64, num_train_epochs=1, bf16=bf16, report_to="none", save_strategy="no",
            disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        trainer = SentenceTransformerTrainer(model=model, args=args, train_dataset=data, loss=EmbedDistillLoss(model))
        start = time.perf_counter()
        trainer.train()
        return tokens / (time.perf_counter() - start)


def main() -> None:
    """Print the three rates."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    every = load_examples(Embeddings(args.run / "embeddings"), "validation", args.run / "clone/tokenizer.json", 512)
    print(f"mean length {every.texts.lengths.mean():.1f} tokens")
    rates = {
        "distill": ours(args.run, args.steps),
        "trainer, fp32": theirs(args.run, 64 * args.steps, bf16=False),
        "trainer, bf16": theirs(args.run, 64 * args.steps, bf16=True),
    }
    for name, rate in rates.items():
        print(f"{name:15} {rate:8,.0f} tokens/s   distill is {rates['distill'] / rate:.1f} times as fast")


if __name__ == "__main__":
    main()
