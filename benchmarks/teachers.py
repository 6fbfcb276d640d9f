"""Real tokenizers of each family as data, from packages that carry them or trained on the spot."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from hub_tools.tokenization.bpe import byte_alphabet
from hub_tools.tokenization.pretokenization import SPACE
from hub_tools.tokenization.tokenizer_json import TokenizerSpec


def tekken() -> TokenizerSpec:
    """Mistral's Tekken, 131,072 byte-level tokens, from the package mistral-common (needs it installed)."""
    data = json.loads((resources.files("mistral_common") / "data" / "tekken_240911.json").read_text(encoding="utf-8"))
    config = data["config"]
    specials = [f"<SPECIAL_{n}>" for n in range(config["default_num_special_tokens"])]
    for number, token in enumerate(data.get("special_tokens") or []):
        specials[number] = token["token_str"]
    room = config["default_vocab_size"] - len(specials)
    ranks = {base64.b64decode(token["token_bytes"]): token["rank"] for token in data["vocab"][:room]}
    vocab = {token: number for number, token in enumerate(specials)}
    vocab |= {byte_alphabet(token): len(specials) + rank for token, rank in ranks.items()}
    merges = []
    for token, rank in ranks.items():
        halves = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [(left, right) for left, right in halves if left in ranks and right in ranks]
        known.sort(key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
        merges += [(rank, pair) for pair in known]
    merges.sort(key=lambda item: item[0])
    pairs = [(byte_alphabet(left), byte_alphabet(right)) for _, (left, right) in merges]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=pairs, ignore_merges=True))
    split = pre_tokenizers.Split(Regex(config["pattern"]), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    return TokenizerSpec(spec=json.loads(tokenizer.to_str()), settings={"bos_token": "<s>", "eos_token": "</s>"})


def mistral_v1() -> TokenizerSpec:
    """Mistral's first tokenizer, 32,000 tokens of SentencePiece BPE with byte fallback (needs mistral-common)."""
    proto = import_module("sentencepiece.sentencepiece_model_pb2").ModelProto()
    proto.ParseFromString((resources.files("mistral_common") / "data" / "tokenizer.model.v1").read_bytes())
    scores = {piece.piece: piece.score for piece in proto.pieces}
    return byte_fallback({piece: number for number, piece in enumerate(scores)}, merges_of(scores), prepend=True)


def merges_of(scores: dict[str, float]) -> list[tuple[str, str]]:
    """The merges of a SentencePiece BPE model: every way to make a piece of two, most probable piece first."""
    merges = []
    for piece, score in scores.items():
        halves = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        merges += [
            (-score, len(left), len(right), (left, right)) for left, right in halves if {left, right} <= scores.keys()
        ]
    return [pair for *_, pair in sorted(merges)]


_SPECIALS = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<s>", "</s>", "<start_of_image>", "<end_of_image>")


def byte_fallback(vocab: dict[str, int], merges: list[tuple[str, str]], *, prepend: bool) -> TokenizerSpec:
    """A tokenizer of the family of Llama (with a space before the text) or Gemma (without)."""
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    replace = normalizers.Replace(" ", SPACE)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), replace]) if prepend else replace
    if not prepend:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, *([decoders.Strip(" ", 1, 0)] if prepend else [])])
    tokenizer.add_special_tokens([t for t in _SPECIALS if t in vocab])
    tokenizer.add_tokens([t for t in vocab if t.startswith("<unused")])
    return TokenizerSpec(spec=json.loads(tokenizer.to_str()), settings={"unk_token": "<unk>"})


# What SentencePiece's trainer keeps apart: words, digits one by one, letters from the rest.
_MARKED = rf"{SPACE}*[\p{{L}}\p{{M}}]+|\p{{N}}|{SPACE}+|[^\p{{L}}\p{{M}}\p{{N}}{SPACE}]+"
MARKED_WORDS = pre_tokenizers.Split(Regex(_MARKED), behavior="isolated")


def word_splitter(tokenizer: Tokenizer) -> Any:
    """What keeps words apart when a tokenizer like this one is trained from nothing."""
    own = tokenizer.pre_tokenizer
    if own is not None and SPACE not in str(json.loads(tokenizer.to_str())["decoder"]):
        return own
    return MARKED_WORDS if own is None or "Metaspace" not in str(own) else pre_tokenizers.Sequence([own, MARKED_WORDS])


def gemma_shaped(texts: Iterable[str], size: int = 262_144) -> TokenizerSpec:
    """A tokenizer with Gemma's normalizer, splits, bytes, white space, image and unused tokens, trained on texts."""
    first = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_image>", "<end_of_image>"]
    first += [f"<unused{n}>" for n in range(99)] + [f"<0x{byte:02X}>" for byte in range(256)]
    # As Gemma has them, no text is needed to learn them.
    white = [character * times for character in ("\n", "\t", SPACE) for times in range(1, 32)]
    first += white
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", SPACE)
    trained.pre_tokenizer = MARKED_WORDS
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=first, show_progress=False, max_token_length=16)
    trained.train_from_iterator(texts, trainer)
    model = json.loads(trained.to_str())["model"]
    of_white = merges_of({token: -float(len(token)) for token in white})
    merges = [*of_white, *(tuple(merge) for merge in model["merges"])]
    return byte_fallback(model["vocab"], merges, prepend=False)


def unigram(texts: Iterable[str], size: int) -> TokenizerSpec:
    """A Unigram tokenizer as XLM-R's: made by SentencePiece, with its charsmap, ids and template."""
    written = io.BytesIO()
    import_module("sentencepiece").SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=written,
        vocab_size=size - 1,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        character_coverage=0.9995,
        **{"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3, "minloglevel": 2},
    )
    proto = import_module("sentencepiece.sentencepiece_model_pb2").ModelProto()
    proto.ParseFromString(written.getvalue())
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    tokenizer = Tokenizer(models.Unigram([*pieces, ("<mask>", 0.0)], unk_id=3, byte_fallback=False))
    charsmap = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    tokenizer.normalizer = normalizers.Sequence([charsmap, normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
    specials = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>"}
    return TokenizerSpec(
        spec=json.loads(tokenizer.to_str()),
        settings={**specials, "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"},
    )


def write(files: TokenizerSpec, folder: Path) -> Path:
    """Write a tokenizer as a folder that --teacher takes."""
    files.write(folder)
    return folder


def byte_level(texts: Iterable[str], size: int) -> TokenizerSpec:
    """A byte-level tokenizer with the split of Qwen, trained on texts."""
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    )
    # As Qwen has them: beyond the model's own vocabulary.
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return TokenizerSpec(spec=json.loads(tokenizer.to_str()), settings={"pad_token": "<|endoftext|>"})
