"""Fixtures: a small real teacher, made in-process, and small real corpora. Nothing needs a network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

from hub_tools.config import RunConfig, build
from hub_tools.demo import demo_teacher
from hub_tools.sources import read_table, sample_file
from hub_tools.surgery import TokenizerFiles
from tests.fake_hub import FakeHub, User, serve

# A token that no output, file or card may ever hold.
CANARY = "hf_canaryDoNotShowThisToAnyone"


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real all-MiniLM-L6-v2."""
    return demo_teacher()


@pytest.fixture(scope="session")
def minilm_files(minilm: Path) -> TokenizerFiles:
    return TokenizerFiles.read(minilm)


@pytest.fixture(scope="session")
def tiny_teacher(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> Path:
    """A BERT of two narrow layers with random weights and MiniLM's real tokenizer, pruned to what the sample uses."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import BertConfig, BertModel

    from hub_tools.models import save_model

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("tiny")
    files = TokenizerFiles.read(minilm)
    config = BertConfig(
        vocab_size=len(files.spec["model"]["vocab"]),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        pad_token_id=0,
    )
    BertModel(config).save_pretrained(root / "bert")
    files.write(root / "bert")
    transformer = modules.Transformer(str(root / "bert"), max_seq_length=64)
    model = SentenceTransformer(modules=[transformer, modules.Pooling(32, "mean"), modules.Normalize()], device="cpu")
    (root / "tokenizer").mkdir()
    TokenizerFiles(spec=files.spec, settings={**files.settings, "model_max_length": 64}).write(root / "tokenizer")
    save_model(model, root / "teacher", tokenizer=root / "tokenizer", max_seq_length=64)
    return root / "teacher"


@pytest.fixture(scope="session")
def sample_pairs() -> list[dict[str, str]]:
    return list(read_table(sample_file("tr-en.tsv")))


def whole_job(teacher: Path, output: Path) -> dict[str, object]:
    """Options of a whole job that takes seconds."""
    return {
        "teacher": str(teacher),
        "lang": "tr",
        "output": str(output),
        "seed": 1,
        "precision": "fp32",
        "device": "cpu",
        "corpus": {"sources": ["sample"], "parallel": [str(sample_file("tr-en.tsv"))]},
        "tokenizer": {"vocab_size": 4096},
        "embed": {"distill_limit": 20},
        "distill": {"steps": 6, "batch_tokens": 2048, "eval_every": 2, "learning_rate": 3e-4, "relational": 1.0},
        "evaluate": {"sts": [str(sample_file("sts.tsv"))]},
    }


@pytest.fixture(scope="session")
def finished(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, dict[str, Any]]:
    """A whole run and its report; leave its folder as it is."""
    from hub_tools.pipeline import run

    config = build(whole_job(tiny_teacher, tmp_path_factory.mktemp("finished") / "run"))
    return config, run(config)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """An empty Hub with one user, ada, whose token is CANARY."""
    with serve(tmp_path / "cas") as hub:
        hub.users[CANARY] = User("ada")
        yield hub


@pytest.fixture
def online(hub: FakeHub, tmp_path: Path) -> dict[str, str]:
    """Environment of a command that talks to the Hub, logged in as ada, with plain LFS."""
    return {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_TOKEN": CANARY,
    }


@pytest.fixture
def config_values(tiny_teacher: Path, tmp_path: Path) -> dict[str, object]:
    return whole_job(tiny_teacher, tmp_path / "run")
