"""The stage: what it reads, and what becomes the student."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers.sentence_transformer import modules

from hub_tools.config import DistillConfig
from hub_tools.core.errors import UserError
from hub_tools.models.encoder import Encoded
from hub_tools.models.loading import load_model
from hub_tools.training.distill import check_inputs, distill
from hub_tools.vectors.dataset import EmbeddingDataset, Row, Shard, write_manifest, write_shard
from tests.training_job import CPU

CONFIG = DistillConfig(steps=4, batch_tokens=256, eval_steps=2, learning_rate=1e-2, weight_interpolation=0.25)


def embeddings(folder: Path, *, heldout: int = 10) -> EmbeddingDataset:
    """Vectors of 40 pairs and of some held-out ones."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for split, count in (("train", 40), ("validation", heldout)):
        rows = [Row(f"text {number}", "en", f"metin {number}", "a.tsv", None) for number in range(count)]
        vectors = random.normal(1, 0.1, size=(count, 32)).astype(np.float32)  # soon learned: all are alike
        if rows:
            write_shard(
                Shard(folder / f"{split}-00000.parquet", split, rows), Encoded(vectors, np.ones(count)), "float16"
            )
    unknown = dict.fromkeys(
        ("teacher", "revision", "precision", "max_seq_length", "truncation_side", "pooling", "default_prompt_name")
    )
    write_manifest(folder, {**unknown, "prompts": {}, "prompting": None})
    return EmbeddingDataset(folder)


def test_the_student_is_nearer_to_the_teacher_and_its_backbone_as_near_the_clone_as_asked(
    tiny_teacher: Path, tmp_path: Path
) -> None:
    result = distill(tiny_teacher, embeddings(tmp_path / "data"), tmp_path / "out", CONFIG, hardware=CPU, seed=1)
    assert result.cosine_before is not None and result.cosine_after is not None
    assert result.cosine_after > result.cosine_before
    assert (result.device, result.precision, result.steps, result.learning_rate) == ("cpu", "fp32", 4, 1e-2)
    training = json.loads((tmp_path / "out" / "training.json").read_text())
    assert training["heldout_texts"] == 20
    assert [entry["step"] for entry in training["history"]] == [0, 2, 4]
    start, saved = (load_file(folder / "model.safetensors") for folder in (tiny_teacher, tmp_path / "out"))
    best = load_file(tmp_path / "out" / "best" / "weights.safetensors")
    for name, weight in saved.items():
        trained = next(weight for key, weight in best.items() if key.endswith(name))
        share = 0.0 if "word_embeddings" in name else 0.25
        assert torch.equal(weight, trained.lerp(start[name], share)), name


def test_without_heldout_text_the_training_says_that_nothing_was_measured(tiny_teacher: Path, tmp_path: Path) -> None:
    data = embeddings(tmp_path / "data", heldout=0)
    result = distill(tiny_teacher, data, tmp_path / "out", CONFIG, hardware=CPU, seed=1)
    assert (result.cosine_before, result.cosine_after, result.best_step) == (None, None, 4)


def test_a_student_that_reads_its_prompts_otherwise_is_not_trained_on_plain_ids(
    tiny_teacher: Path, tmp_path: Path
) -> None:
    model, data = load_model(tiny_teacher, device="cpu"), embeddings(tmp_path / "data")
    data.manifest |= {"prompts": {"query": "a long prompt: "}, "rows_by_prompt": {"query": 5, "none": 5}}
    check_inputs(model, data, CPU)
    model[1] = modules.Pooling(32, "mean", include_prompt=False)
    with pytest.raises(UserError, match=r"behind the prompt 'query' in a way of its own.*--query-share 0"):
        check_inputs(model, data, CPU)
    data.manifest |= {"rows_by_prompt": {"none": 10}}
    check_inputs(model, data, CPU)
