"""A teacher that takes no time."""

from __future__ import annotations

from pathlib import Path

from hub_tools.models.loading import save_model
from hub_tools.models.resolve import bundled_teacher
from hub_tools.tokenization.tokenizer_json import TokenizerSpec


def write_tiny_teacher(root: Path) -> Path:
    """Write a BERT of two narrow layers, with random weights and MiniLM's own tokenizer, and return its folder."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    files = TokenizerSpec.read(bundled_teacher())
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
    TokenizerSpec(spec=files.spec, settings={**files.settings, "model_max_length": 64}).write(root / "tokenizer")
    save_model(model, root / "teacher", tokenizer=root / "tokenizer", max_seq_length=64)
    return root / "teacher"
