"""A fast tokenizer as plain data: read, written, loaded, and rebuilt around another model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from hub_tools.core.errors import UserError
from hub_tools.core.files import write_json, write_text

_NAMED_SPECIALS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "bos_token", "eos_token")
_SETTINGS = ("padding_side", "truncation_side", "clean_up_tokenization_spaces", "chat_template")
_TOKENIZER, _CONFIG, _TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
_SPECIAL_TOKENS = "special_tokens_map.json"
# The files that `TokenizerSpec.read` reads, and no others.
TOKENIZER_FILES = (_TOKENIZER, _CONFIG, _SPECIAL_TOKENS, _TEMPLATE)
# Tokens that were set aside when the teacher was made and that no text uses.
_PLACEHOLDER = re.compile(r"<unused\d+>|\[unused\d+\]|<\|?reserved\w*\|?>|<extra_id_\d+>")


@dataclass(frozen=True, kw_only=True)
class TokenizerSpec:
    """A fast tokenizer as plain data."""

    spec: dict[str, Any]  # the content of tokenizer.json
    settings: dict[str, Any]  # that of tokenizer_config.json, with special_tokens_map.json where that is older
    chat_template: str | None = None  # that of chat_template.jinja, if there is one

    @classmethod
    def read(cls, folder: Path) -> TokenizerSpec:
        """Read `TOKENIZER_FILES` of a folder; `models.tokenizer.read_model_tokenizer` applies a model's settings too.

        Raises:
            UserError: tokenizer.json is missing, or a file is damaged.
        """
        settings: dict[str, Any] = {}
        for name in (_SPECIAL_TOKENS, _CONFIG):
            if (folder / name).exists():
                settings |= _read_json(folder / name)
        template = folder / _TEMPLATE
        return cls(
            spec=_read_json(folder / _TOKENIZER),
            settings=settings,
            chat_template=template.read_text(encoding="utf-8") if template.exists() else None,
        )

    def write(self, folder: Path) -> None:
        """Write the files that transformers and tokenizers read."""
        write_text(folder / _TOKENIZER, json.dumps(self.spec, ensure_ascii=False))
        write_json(folder / _CONFIG, self.settings)
        if self.chat_template is not None:
            write_text(folder / _TEMPLATE, self.chat_template)

    def load(self) -> Tokenizer:
        """Return the tokenizer without truncation and padding."""
        return Tokenizer.from_str(json.dumps({**self.spec, "truncation": None, "padding": None}))

    @property
    def family(self) -> str:
        """Kind of model: WordPiece, BPE, Unigram or WordLevel."""
        return str(self.spec["model"]["type"])

    @property
    def byte_level(self) -> bool:
        """Whether the model reads bytes, written in an alphabet of 256 characters."""
        return "ByteLevel" in str(self.spec["pre_tokenizer"])

    @property
    def reads_bytes(self) -> bool:
        """Whether the model spells in bytes what it has no token for, so that nothing is unknown to it."""
        return self.byte_level or bool(self.spec["model"].get("byte_fallback"))

    @property
    def model_vocab(self) -> dict[str, int]:
        """Token -> id of the model alone; added tokens outside the model are not among them."""
        return read_model_vocab(self.spec["model"])

    @property
    def vocab(self) -> dict[str, int]:
        """Token -> id of all tokens, added ones included."""
        return self.model_vocab | {token["content"]: token["id"] for token in self.spec["added_tokens"]}

    @property
    def unk_token(self) -> str | None:
        """The token of what cannot be read, if there is one."""
        model = self.spec["model"]
        if self.family == "Unigram":
            return None if model.get("unk_id") is None else str(model["vocab"][model["unk_id"]][0])
        token = model.get("unk_token")
        return None if token is None else str(token)

    @property
    def pad_token_id(self) -> int | None:
        """Id of the padding token, if there is one."""
        return self.vocab.get(self.named_token("pad_token") or "")

    def named_token(self, setting: str) -> str | None:
        """Return the token that a setting like `cls_token` names, if it names one."""
        token = self.settings.get(setting)
        return _content(token) if token else None

    @property
    def added_tokens(self) -> list[str]:
        """All added tokens."""
        return [token["content"] for token in self.spec["added_tokens"]]

    @property
    def special_tokens(self) -> list[str]:
        """Added tokens that are marked special."""
        return [token["content"] for token in self.spec["added_tokens"] if token["special"]]

    @property
    def placeholders(self) -> set[str]:
        """Tokens that only reserve a row for later: not special, not named in the settings, not in the template."""
        reserved = {token for token in self.vocab if _PLACEHOLDER.fullmatch(token)}
        return reserved - {*self.special_tokens, *self.named_tokens}

    @property
    def named_tokens(self) -> set[str]:
        """Tokens that the settings or the template name, whether they are marked special or not."""
        named = [token for name in _NAMED_SPECIALS if (token := self.named_token(name))]
        for more in (self.settings.get("additional_special_tokens"), self.settings.get("extra_special_tokens")):
            named += map(_content, more.values() if isinstance(more, dict) else more or [])
        return {*named, *_template_tokens(self.spec["post_processor"])} & self.vocab.keys()

    def with_model(
        self, model: dict[str, Any], normalizer: Any, added_tokens: list[str], max_seq_length: int | None
    ) -> TokenizerSpec:
        """Return the same tokenizer around another `model` of tokenizer.json; added tokens and template get its ids.

        `added_tokens` stay, and so do those that the model has; `max_seq_length` None leaves what the settings say.
        """
        vocab = read_model_vocab(model)
        kept = [token for token in self.spec["added_tokens"] if token["content"] in {*added_tokens, *vocab}]
        # Those outside the model come after it, in their order: the library gives them no other ids.
        outside = [token["content"] for token in kept if token["content"] not in vocab]
        vocab |= {content: len(vocab) + number for number, content in enumerate(outside)}
        added = [{**token, "id": vocab[token["content"]]} for token in kept]
        spec = {
            **self.spec,
            "truncation": None,
            "padding": None,
            "added_tokens": sorted(added, key=lambda token: token["id"]),
            "normalizer": normalizer,
            "model": model,
            "post_processor": _renumber(self.spec["post_processor"], vocab),
        }
        settings = self._portable_settings(vocab, max_seq_length)
        return TokenizerSpec(spec=spec, settings=settings, chat_template=self.chat_template)

    def _portable_settings(self, vocab: Mapping[str, int], max_seq_length: int | None) -> dict[str, Any]:
        # What every version of transformers reads alike; for a token outside the vocabulary it would add a row.
        settings = self.settings
        longest = max_seq_length or settings.get("model_max_length")
        inputs = ["input_ids", *(["token_type_ids"] if self.family == "WordPiece" else []), "attention_mask"]
        return {
            # Any class named after an architecture rebuilds its own normalizer and would undo the new one.
            "tokenizer_class": "PreTrainedTokenizerFast",
            **({"model_max_length": longest} if longest else {}),
            "model_input_names": settings.get("model_input_names", inputs),
            **{name: settings[name] for name in _SETTINGS if name in settings},
            **_more_specials(settings, vocab),
            **{name: token for name in _NAMED_SPECIALS if (token := self.named_token(name)) in vocab},
        }


def _more_specials(settings: Mapping[str, Any], vocab: Mapping[str, int]) -> dict[str, Any]:
    # transformers 5 writes further special tokens as a list under another name, which 4.57 cannot read.
    more = settings.get("additional_special_tokens") or settings.get("extra_special_tokens") or []
    if isinstance(more, dict):
        return {"extra_special_tokens": {name: _content(t) for name, t in more.items() if _content(t) in vocab}}
    known = [_content(token) for token in more if _content(token) in vocab]
    return {"additional_special_tokens": known} if known else {}


def _template_tokens(processor: dict[str, Any] | None) -> set[str]:
    tokens = set()
    for step in flat_steps(processor, "processors"):
        tokens |= {step[name][0] for name in ("sep", "cls") if name in step}
        if step["type"] == "TemplateProcessing":
            tokens |= {token for special in step["special_tokens"].values() for token in special["tokens"]}
    return tokens


def flat_steps(spec: dict[str, Any] | None, parts: Literal["normalizers", "processors"]) -> list[dict[str, Any]]:
    """Return the steps of a normalizer or post-processor, those of sequences within it too."""
    if spec is None:
        return []
    return [step for part in spec[parts] for step in flat_steps(part, parts)] if spec["type"] == "Sequence" else [spec]


def read_model_vocab(model: Mapping[str, Any]) -> dict[str, int]:
    """Return token -> id of the `model` of a tokenizer.json."""
    vocab = model["vocab"]
    return dict(vocab) if isinstance(vocab, dict) else {piece: number for number, (piece, _) in enumerate(vocab)}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError, OSError) as error:
        raise UserError(f"{file} is damaged or missing: expected a tokenizer's JSON. Fetch the model again.") from error


def _renumber(processor: dict[str, Any] | None, vocab: Mapping[str, int]) -> dict[str, Any] | None:
    if processor is None:
        return None
    if processor["type"] == "Sequence":
        return {**processor, "processors": [_renumber(p, vocab) for p in processor["processors"]]}
    if processor["type"] == "TemplateProcessing":
        specials = {
            name: {**special, "ids": [vocab[token] for token in special["tokens"]]}
            for name, special in processor["special_tokens"].items()
        }
        return {**processor, "special_tokens": specials}
    # BertProcessing and RobertaProcessing name their two tokens as [text, id].
    pairs = {name: processor[name][0] for name in ("sep", "cls") if name in processor}
    return {**processor, **{name: [token, vocab[token]] for name, token in pairs.items()}}


def _content(token: Any) -> str:
    content = token.get("content") if isinstance(token, dict) else token
    if not isinstance(content, str):
        raise UserError(f"A tokenizer's settings name {str(token)[:50]!r} as a token. Expected a token's text in them.")
    return content
