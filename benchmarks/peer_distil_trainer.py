"""Train with distil-trainer at its defaults, in an environment of its own: see benchmarks/training.py.

python peer_distil_trainer.py CLONE TEXTS.json VECTORS.npy OUT      prints the seconds that training took
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from datasets import Dataset
from distil_trainer import EmbeddingDistillationTrainer, EmbeddingTrainerConfig


def main() -> None:
    """One pass through the texts."""
    clone, texts, vectors, out = sys.argv[1:]
    columns = {
        "text": json.loads(Path(texts).read_text(encoding="utf-8")),
        "teacher_embedding_final": np.load(vectors).astype(np.float32).tolist(),
    }
    config = EmbeddingTrainerConfig(student_model=clone, output_dir=out, num_epochs=1, device="cpu")
    trainer = EmbeddingDistillationTrainer(config)
    started = time.perf_counter()
    trainer.train(Dataset.from_dict(columns))
    print(json.dumps(time.perf_counter() - started))


if __name__ == "__main__":
    main()
