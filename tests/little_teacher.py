"""A teacher of a few kilobytes, for tests of what its files may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from transformers import BertConfig, BertModel

from hub_tools.cloning.clone import clone
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus
from hub_tools.models.resolve import find_teacher
from hub_tools.models.tokenizer import read_ready_tokenizer, read_teacher_tokenizer
from hub_tools.tokenization.make import use_tokenizer
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

CPU = Hardware(device="cpu", precision="fp32")


TEXTS = ["Straße nach İSTANBUL", "Häuser und Bäume", "The house of Çiğdem", "a cafe\u0301", "x" * 200]


def edit(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None takes one away."""
    content = {**(read_json(file) if file.exists() else {}), **changes}
    write_json(file, {key: value for key, value in content.items() if value is not None})


def clone_with_own_tokenizer(folder: Path, out: Path) -> Path:
    """Clone a teacher with the tokenizer that it has; return the clone's folder."""
    teacher, corpus = find_teacher(str(folder)), Corpus.empty()
    spec = read_teacher_tokenizer(teacher)
    ready = read_ready_tokenizer(teacher.input_folder, teacher)
    use_tokenizer(spec, ready, out / "tokenizer", max_seq_length=teacher.max_seq_length, samples={})
    clone(teacher, out / "tokenizer", corpus, out / "clone", init="mean")
    return out / "clone"


def write_little_teacher(minilm_files: TokenizerSpec, root: Path) -> Path:
    """Write a BERT of one narrow layer, and MiniLM's special tokens, letters and most frequent words."""
    listed = sorted(minilm_files.model_vocab, key=minilm_files.model_vocab.__getitem__)
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    letters = (token for token in listed if len(token.removeprefix("##")) == 1)
    kept = list(dict.fromkeys((*special, *letters, *listed[1996:2200])))
    model = {**minilm_files.spec["model"], "vocab": {token: number for number, token in enumerate(kept)}}
    normalizer = minilm_files.spec["normalizer"]
    files = minilm_files.with_model(model, normalizer, minilm_files.added_tokens, 64)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(kept), max_position_embeddings=64, pad_token_id=0, **sizes)
    BertModel(config).save_pretrained(root / "bert")
    files.write(root / "bert")
    first = modules.Transformer(str(root / "bert"), max_seq_length=32)
    parts = [first, modules.Pooling(8, "mean"), modules.Dense(8, 8), modules.Normalize()]
    SentenceTransformer(modules=parts, device="cpu").save(str(root / "teacher"), create_model_card=False)
    files.write(root / "teacher")
    return root / "teacher"
