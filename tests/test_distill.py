from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers.sentence_transformer import modules

from hub_tools.config import RunConfig
from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware
from hub_tools.models.loading import load_model
from hub_tools.training.batching import TokenizedTexts, epoch_batches
from hub_tools.training.data import Examples
from hub_tools.training.distill import _check_inputs, distill
from hub_tools.vectors.dataset import EmbeddingDataset


def test_small_parallel_files_are_taken_more_often_and_source_sides_less() -> None:
    # 400 pairs of one file, 4 of another, 10 monolingual texts.
    source = np.repeat([0, 0, 1, 1, -1], [400, 400, 4, 4, 10])
    is_target = np.repeat([True, False, True, False, False], [400, 400, 4, 4, 10])
    empty = TokenizedTexts(ids=np.empty(0, np.int32), ends=np.zeros(len(source), np.int64), pad_id=0)
    label, vectors = np.zeros(len(source), np.int64), np.empty((0, 0), np.float16)
    examples = Examples(texts=empty, label=label, vectors=vectors, source=source, is_target=is_target)
    times = examples.repeats(balance=0.5, source_fraction=0.25)
    assert times[source == -1].tolist() == [1.0] * 10
    assert set(times[(source == 0) & is_target]) == {1.0}
    assert set(times[(source == 1) & is_target]) == {10.0}
    assert set(times[(source == 1) & ~is_target]) == {2.5}
    assert set(examples.repeats(balance=1, source_fraction=1)) == {1.0}


def test_an_epoch_holds_each_text_as_often_as_asked_for() -> None:
    repeats = np.repeat([0.0, 0.5, 1.0, 3.2], 1000)
    found = np.bincount(np.concatenate(epoch_batches(np.full(4000, 8), 1024, 1, 0, repeats)), minlength=4000)
    assert set(found[:1000]) == {0}
    assert found[1000:2000].mean() == pytest.approx(0.5, abs=0.06)
    assert set(found[2000:3000]) == {1}
    assert set(found[3000:]) == {3, 4}
    assert found[3000:].mean() == pytest.approx(3.2, abs=0.06)


def test_languages_are_drawn_by_their_size_where_that_is_asked_for() -> None:
    # 50 texts of one language, 10 of another, and 4 pairs that have nothing to do with them.
    source = np.repeat([-1, -2, 0], [50, 10, 4])
    empty = TokenizedTexts(ids=np.empty(0, np.int32), ends=np.zeros(64, np.int64), pad_id=0)
    zeros = np.zeros(64, np.int64)
    data = Examples(texts=empty, label=zeros, vectors=np.empty((0, 0), np.float16), source=source, is_target=zeros == 0)
    assert set(data.repeats(0.5, 0.5)) == {1.0}
    assert set(data.repeats(0.5, 0.5, 0.5)[50:60]) == {5**0.5}
    assert set(data.repeats(0.5, 0.5, 0.0)[50:60]) == {5.0}
    assert set(data.repeats(0.5, 0.5, 0.0)[:50]) == {1.0}
    assert set(data.repeats(0.5, 0.5, 0.0)[60:]) == {1.0}


def test_all_weights_but_the_rows_go_back_as_far_as_asked(
    finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path
) -> None:
    run, cpu = finished[0].output, Hardware(device="cpu", precision="fp32")
    for blend in (0.0, 0.25, 1.0):
        config = replace(finished[0].distill, blend=blend)
        vectors = EmbeddingDataset(run / "embeddings")
        found = distill(run / "clone", vectors, tmp_path / str(blend), config, hardware=cpu, seed=1)
        assert found["cosine_after"] > found["cosine_before"]
    start = load_file(run / "clone" / "model.safetensors")
    own, some, back = (load_file(tmp_path / name / "model.safetensors") for name in ("0.0", "0.25", "1.0"))
    for name, weights in own.items():
        if "word_embeddings" in name:
            assert torch.equal(some[name], weights) and not torch.equal(weights, start[name])
        else:
            assert torch.equal(back[name], start[name])
            assert torch.allclose(some[name], weights.lerp(start[name], 0.25))
    assert any(not torch.equal(own[name], start[name]) for name in own if "word_embeddings" not in name)


def test_a_student_that_reads_its_prompts_otherwise_is_not_trained_on_plain_ids(
    finished: tuple[RunConfig, dict[str, Any]],
) -> None:
    model = load_model(finished[0].output / "clone", device="cpu")
    embeddings = EmbeddingDataset(finished[0].output / "embeddings")
    prompts = {"prompts": {"query": "a long prompt: "}, "rows_by_prompt": {"query": 5, "none": 5}}
    embeddings.manifest |= prompts
    cpu = Hardware(device="cpu", precision="fp32")
    _check_inputs(model, embeddings, cpu)
    model[1] = modules.Pooling(32, "mean", include_prompt=False)
    with pytest.raises(UserError, match=r"behind the prompt 'query' in a way of its own.*--query-share 0"):
        _check_inputs(model, embeddings, cpu)
    embeddings.manifest |= {"rows_by_prompt": {"none": 10}}
    _check_inputs(model, embeddings, cpu)
