"""Small teachers of every architecture, made in-process with the real code and the tokenizers they really use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from tokenizers import Tokenizer, models
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

from benchmarks import teachers
from hub_tools.core.files import read_json, write_json
from hub_tools.models.loading import put_tokenizer
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

WIDTH = 32
LONGEST = 48
PROMPTS = {"query": "task: search result | query: ", "document": "title: none | text: "}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How a teacher is made.

    Attributes:
        tokenizer: the family of its tokenizer.
        config: model_type and sizes of its transformers config; empty for static embeddings.
        head: modules after the first.
        left: whether it pads on the left.
        untied: save it with an output layer of its own.
        prompts: prompts, of which `query` is the default.
        truncate_dim: named in its settings, as authors of Matryoshka models do; libraries take it as an argument.
        rowless: whether its tokenizer has a token behind the last row of the model.
    """

    tokenizer: str
    config: dict[str, Any]
    head: Callable[[], list[Any]]
    left: bool = False
    untied: bool = False
    prompts: dict[str, str] | None = None
    truncate_dim: int | None = None
    rowless: bool = False


def mean() -> list[Any]:
    return [modules.Pooling(WIDTH, "mean"), modules.Normalize()]


def labse() -> list[Any]:
    return [modules.Pooling(WIDTH, "cls"), modules.Dense(WIDTH, WIDTH), modules.Normalize()]


def last_token() -> list[Any]:
    return [modules.Pooling(WIDTH, "lasttoken"), modules.Normalize()]


def gemma_heads() -> list[Any]:
    plain = {"bias": False, "activation_function": torch.nn.Identity()}
    wide, narrow = modules.Dense(WIDTH, 64, **plain), modules.Dense(64, WIDTH, **plain)
    return [modules.Pooling(WIDTH, "mean"), wide, narrow, modules.Normalize()]


_LAYERS = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
_DECODER = {**_LAYERS, "num_key_value_heads": 1, "head_dim": 16}
_DISTILBERT = {"dim": WIDTH, "hidden_dim": 64, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 64}
_T5 = {"d_model": WIDTH, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
_GEMMA = {
    **_DECODER,
    "model_type": "gemma3_text",
    "use_bidirectional_attention": True,
    "sliding_window": 16,
    "layer_types": ["sliding_attention", "full_attention"],
}

ARCHITECTURES = {
    "bert": Architecture(tokenizer="wordpiece", config={"model_type": "bert", **_LAYERS}, head=mean),
    "labse": Architecture(tokenizer="wordpiece", config={"model_type": "bert", **_LAYERS}, head=labse),
    "untied": Architecture(tokenizer="wordpiece", config={"model_type": "bert", **_LAYERS}, head=mean, untied=True),
    "xlm-r": Architecture(
        tokenizer="unigram", config={"model_type": "xlm-roberta", **_LAYERS, "max_position_embeddings": 66}, head=mean
    ),
    "mpnet": Architecture(
        tokenizer="mpnet", config={"model_type": "mpnet", **_LAYERS, "max_position_embeddings": 66}, head=mean
    ),
    "distilbert": Architecture(tokenizer="wordpiece", config={"model_type": "distilbert", **_DISTILBERT}, head=mean),
    "modernbert": Architecture(
        tokenizer="byte-level", config={"model_type": "modernbert", **_LAYERS, "local_attention": 16}, head=mean
    ),
    "mmbert": Architecture(
        tokenizer="gemma",
        config={"model_type": "modernbert", **_LAYERS, "local_attention": 16, "global_rope_theta": 1000.0},
        head=mean,
    ),
    "gemma3": Architecture(
        tokenizer="gemma", config=_GEMMA, head=gemma_heads, prompts=PROMPTS, truncate_dim=16, rowless=True
    ),
    "qwen3": Architecture(
        tokenizer="qwen", config={"model_type": "qwen3", **_DECODER}, head=last_token, left=True, prompts=PROMPTS
    ),
    "mistral": Architecture(
        tokenizer="llama", config={"model_type": "mistral", **_DECODER}, head=last_token, left=True
    ),
    "t5": Architecture(tokenizer="unigram", config={"model_type": "t5", **_T5}, head=mean),
    "static": Architecture(tokenizer="wordpiece", config={}, head=lambda: [modules.Normalize()]),
    "static-unigram": Architecture(tokenizer="unigram", config={}, head=lambda: [modules.Normalize()]),
}
SETTINGS = "config_sentence_transformers.json"
# EmbeddingGemma's tokenizer has it, behind the model's last row.
ROWLESS = "<image_soft_token>"
ROLES = ("pad", "bos", "eos", "cls", "sep", "unk", "mask")


def tokenizers_of(lines: list[str], wordpiece: TokenizerSpec, size: int = 3000) -> dict[str, TokenizerSpec]:
    """A small tokenizer of each kind, with the template and the special tokens of the real one."""
    gemma = teachers.gemma_shaped(lines, size)
    merges = [tuple(merge) for merge in gemma.spec["model"]["merges"]]
    llama_vocab = {{"<bos>": "<s>", "<eos>": "</s>"}.get(t, t): n for t, n in gemma.model_vocab.items()}
    llama = teachers.byte_fallback(llama_vocab, merges, prepend=True)
    byte_level = teachers.byte_level(lines, size)
    unigram = teachers.unigram(lines, size)
    found = {
        "wordpiece": wordpiece,
        "mpnet": _mpnet(wordpiece),
        "byte-level": _with(byte_level, ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"], "[CLS]", "[SEP]"),
        "qwen": _with(byte_level, [], None, "<|endoftext|>"),
        "gemma": _with(gemma, ["<mask>"], "<bos>", "<eos>"),
        "llama": _with(llama, [], "<s>", "</s>"),
        "unigram": _with(unigram, [], "<s>", "</s>"),
    }
    roles = {
        "mpnet": {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "unk": "[UNK]"},
        "byte-level": {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", "mask": "[MASK]"},
        "qwen": {"pad": "<|endoftext|>", "eos": "<|im_end|>"},
        "gemma": {"pad": "<pad>", "bos": "<bos>", "eos": "<eos>", "unk": "<unk>", "mask": "<mask>"},
        "llama": {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>"},
        "unigram": {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "unk": "<unk>"},
    }
    return {
        name: replace(
            files,
            settings={
                **files.settings,
                **{f"{role}_token": token for role, token in roles.get(name, {}).items()},
                "tokenizer_class": "PreTrainedTokenizerFast",
                "model_max_length": LONGEST,
            },
        )
        for name, files in found.items()
    }


def _with(files: TokenizerSpec, more: Iterable[str], first: str | None, last: str) -> TokenizerSpec:
    """A tokenizer with more special tokens and a template."""
    from tokenizers import processors

    tokenizer = Tokenizer.from_str(json.dumps(files.spec))
    tokenizer.add_special_tokens(list(more))
    ids = {token: tokenizer.token_to_id(token) for token in (first, last) if token}
    single = " ".join([*([first] if first else []), "$A", last])
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=list(ids.items()))
    return replace(files, spec=json.loads(tokenizer.to_str()))


def _mpnet(files: TokenizerSpec) -> TokenizerSpec:
    """BERT's tokens behind the special tokens of MPNet, whose padding has the id 1."""
    from tokenizers import processors

    kept = [token for token in files.model_vocab if token not in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")]
    vocab = {token: number for number, token in enumerate(["<s>", "<pad>", "</s>", *kept, "<mask>"])}
    tokenizer = Tokenizer.from_str(json.dumps({**files.spec, "added_tokens": [], "post_processor": None}))
    tokenizer.model = models.WordPiece(vocab=vocab, unk_token="[UNK]")
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "[UNK]", "<mask>"])
    pairs = [("<s>", vocab["<s>"]), ("</s>", vocab["</s>"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=pairs)
    return TokenizerSpec(spec=json.loads(tokenizer.to_str()), settings={})


def build_teacher(kind: Architecture, files: TokenizerSpec, root: Path) -> Path:
    """Make a teacher as it would be published."""
    torch.manual_seed(0)
    tokenizer = root / "tokenizer"
    settings = {**files.settings, **({"padding_side": "left"} if kind.left else {})}
    replace(files, settings=settings).write(tokenizer)
    first = _transformer(kind, files, root) if kind.config else _static(files)
    if kind.config:
        files.write(root / "transformer")
        put_tokenizer(tokenizer, root / "transformer")
        first = modules.Transformer(str(root / "transformer"), max_seq_length=LONGEST)
    default = "query" if kind.prompts else None
    model = SentenceTransformer(
        modules=[first, *kind.head()],
        device="cpu",
        prompts=kind.prompts,
        default_prompt_name=default,
        similarity_fn_name="dot",
    )
    model.save_pretrained(str(root / "teacher"), create_model_card=False)
    put_tokenizer(tokenizer, root / "teacher")
    if kind.truncate_dim:
        settings = read_json(root / "teacher" / SETTINGS)
        write_json(root / "teacher" / SETTINGS, {**settings, "truncate_dim": kind.truncate_dim})
    if kind.rowless:
        spec = {**files.spec, "added_tokens": [*files.spec["added_tokens"], _rowless(len(files.vocab))]}
        write_json(root / "teacher" / "tokenizer.json", spec)
    if kind.untied:  # as published checkpoints have it: the whole pre-training model
        (root / "teacher" / "model.safetensors").unlink()
        (root / "transformer" / "model.safetensors").rename(root / "teacher" / "model.safetensors")
    return root / "teacher"


def _rowless(number: int) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": number, "content": ROWLESS, **plain}


def _transformer(kind: Architecture, files: TokenizerSpec, root: Path) -> None:
    ids = files.vocab
    named = {role: files.settings.get(f"{role}_token") for role in ROLES}
    special = {f"{role}_token_id": ids[token] for role, token in named.items() if token in ids}
    size = max(ids.values()) + 1
    config = AutoConfig.for_model(**kind.config, vocab_size=size, **special, tie_word_embeddings=not kind.untied)
    model = (AutoModelForMaskedLM if kind.untied else AutoModel).from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():  # the usual 0.02 makes all vectors of a small model alike
            parameter.normal_(0, 0.3) if parameter.ndim > 1 else parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(root / "transformer")


def _static(files: TokenizerSpec) -> Any:
    rows = torch.randn(max(files.vocab.values()) + 1, WIDTH)
    return modules.StaticEmbedding(files.load(), embedding_weights=rows)
