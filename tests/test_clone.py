from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hub_tools.cloning.mean import subword_mean
from hub_tools.config import RunConfig
from hub_tools.models.loading import load_model
from hub_tools.pipeline import run
from hub_tools.tokenization.token_map import TokenMap
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.conftest import whole_job


@pytest.fixture(scope="module")
def cloned(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder with a finished clone."""
    config = RunConfig.from_dict(whole_job(tiny_teacher, tmp_path_factory.mktemp("cloned") / "run"))
    run(config, last="clone")
    return config.output


def test_every_weight_but_the_embeddings_is_kept(tiny_teacher: Path, cloned: Path) -> None:
    theirs = load_model(tiny_teacher, device="cpu").state_dict()
    folder = cloned / "clone"
    model = load_model(folder, device="cpu")
    ours = model.state_dict()
    changed = (
        [name for name in theirs if not torch.equal(theirs[name], ours[name])]
        if theirs.keys() == ours.keys()
        else list(ours)
    )
    assert len(changed) == 1 and changed[0].endswith("word_embeddings.weight")
    settings = json.loads((folder / "config.json").read_text())
    tokenizer = TokenizerSpec.read(folder)
    assert settings["vocab_size"] == len(tokenizer.spec["model"]["vocab"]) == len(model.tokenizer) == 4096
    assert settings["pad_token_id"] == tokenizer.spec["model"]["vocab"]["[PAD]"] == model.tokenizer.pad_token_id
    assert not (folder / "README.md").exists()


def test_the_saved_tokenizer_reads_text_as_it_was_made_to(cloned: Path) -> None:
    plain = TokenizerSpec.read(cloned / "tokenizer").load()
    model = load_model(cloned / "clone", device="cpu")
    for text in ("IŞIK söndü, İstanbul'da çığ düştü.", "I am here.", "Über café"):
        assert model.tokenizer(text)["input_ids"] == plain.encode(text).ids
    assert "ışık" in plain.decode(plain.encode("IŞIK").ids)


def test_module_names_are_those_that_both_generations_read(cloned: Path) -> None:
    modules = json.loads((cloned / "clone" / "modules.json").read_text())
    assert [m["type"].startswith("sentence_transformers.models.") for m in modules] == [True] * 3


def test_mean_rows_are_means_and_exact_rows_are_bitwise_equal() -> None:
    random = np.random.default_rng(0)
    teacher = random.standard_normal((50, 8)).astype(np.float32)
    lengths = random.integers(1, 6, size=30)
    ids = random.integers(0, 50, size=int(lengths.sum()))
    token_map = TokenMap(token_ids=ids, lengths=lengths, kinds=np.zeros(30, np.int8))
    rows = subword_mean(token_map, teacher)
    start = 0
    for row, length in zip(rows, lengths, strict=True):
        own = teacher[ids[start : start + length]]
        assert row == pytest.approx(own.mean(axis=0), abs=1e-6)
        assert length > 1 or np.array_equal(row, own[0])
        start += length
