"""Vectors as the teacher gives them, whatever the batches and however little memory there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules

from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware
from hub_tools.models.encoder import Encoder, encode, length_batches, unit
from hub_tools.models.loading import load_model
from hub_tools.models.padding import padded_lengths
from tests.architectures import ARCHITECTURES
from tests.nearness import least_cosine

CPU = Hardware(device="cpu", precision="fp32")


TEXTS = [
    "Merhaba dünya!",
    "",
    "one",
    "A plain English sentence, longer than the others here.",
    "çok uzun " * 100,
    "one",
]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_token_batches_give_what_encode_gives(
    small_teachers: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(small_teachers[name], device="cpu")
    encoder, prompt = Encoder(model, CPU), "query: "
    wanted = encode(model, [prompt + text for text in TEXTS], CPU)
    if model.default_prompt_name:
        wanted = model.encode(TEXTS, prompt=prompt)
    encoder(TEXTS, prompt)
    # From here on it has to be its own way.
    monkeypatch.setattr(model, "encode", None)
    found = encoder(TEXTS, prompt)
    assert found.vectors.dtype == np.float32
    assert least_cosine(found.vectors, wanted) > 0.9999
    if not name.startswith("static"):
        counted = [len(ids) for ids in model.tokenizer([prompt + t for t in TEXTS], truncation=True)["input_ids"]]
        assert found.tokens.tolist() == counted


def test_a_model_that_prepares_its_texts_otherwise_is_left_to_encode(tiny_teacher: Path) -> None:
    first = SentenceTransformer(str(tiny_teacher), device="cpu")[0]
    pooling = modules.Pooling(32, "mean", include_prompt=False)
    model = SentenceTransformer(modules=[first, pooling], device="cpu")
    wanted = model.encode(TEXTS, prompt="a long prompt: ")
    assert least_cosine(model.encode(["a long prompt: " + text for text in TEXTS]), wanted) < 0.999
    assert least_cosine(Encoder(model, CPU)(TEXTS, "a long prompt: ").vectors, wanted) > 0.9999


def test_out_of_memory_means_smaller_batches(
    tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_model(tiny_teacher, device="cpu")
    encoder, room = Encoder(model, CPU), 600
    texts = TEXTS * 40
    wanted = encoder(texts).vectors
    forward = model.forward

    def small(features: dict[str, Any]) -> Any:
        if features["input_ids"].numel() > room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(features)

    monkeypatch.setattr(model, "forward", small)
    assert least_cosine(encoder(texts).vectors, wanted) > 0.9999
    assert "out of memory: from now on 512 tokens at a time" in caplog.text
    room = 10
    with pytest.raises(UserError, match=r"a single text of 64 tokens\. Free memory, or use --device cpu"):
        encoder(texts)


def test_encode_takes_fewer_texts_at_a_time_where_memory_does_not_suffice(
    tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(tiny_teacher, device="cpu")
    wanted, forward = encode(model, TEXTS * 20, CPU), model.forward

    def small(features: dict[str, Any], **more: Any) -> Any:
        if len(features["input_ids"]) > 10:
            raise MemoryError
        return forward(features, **more)

    monkeypatch.setattr(model, "forward", small)
    assert least_cosine(encode(model, TEXTS * 20, CPU), wanted) > 0.9999


def test_one_null_vector_spoils_no_others() -> None:
    vectors = unit(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
    assert np.allclose(vectors, [[0.6, 0.8], [0, 0]])


def test_batches_of_lengths() -> None:
    lengths = np.random.default_rng(0).integers(0, 200, size=2000).tolist()
    batches = list(length_batches(lengths, 1024))
    assert sorted(number for batch in batches for number in batch) == list(range(2000))
    shapes = [(len(b), int(padded_lengths(np.array([max(1, *(lengths[i] for i in b))]))[0])) for b in batches]
    assert all(rows * width <= 1024 for rows, width in shapes)
    assert all(rows == 1024 // width for rows, width in shapes[:-1])  # few shapes: the length gives the rows
    assert sum(lengths) / sum(rows * width for rows, width in shapes) > 0.9
    assert list(length_batches([500, 500], 100)) == [[0], [1]]
    assert list(length_batches([], 100)) == []
