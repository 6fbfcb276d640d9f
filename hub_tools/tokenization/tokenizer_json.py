"""A fast tokenizer as plain data: read, written, loaded, and rebuilt around another model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from hub_tools.core.errors import UserError
from hub_tools.core.files import write_json, write_text

_NAMED_SPECIALS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "bos_token", "eos_token")
_BERT_INPUTS = ["input_ids", "token_type_ids", "attention_mask"]
_INPUTS = ["input_ids", "attention_mask"]
_SETTINGS = ("padding_side", "truncation_side", "clean_up_tokenization_spaces", "chat_template")
_TEMPLATE = "chat_template.jinja"
# Rows that were set aside when the teacher was made and that no text uses.
_PLACEHOLDER = re.compile(r"<unused\d+>|\[unused\d+\]|<\|?reserved\w*\|?>|<extra_id_\d+>")


@dataclass(frozen=True, kw_only=True)
class TokenizerSpec:
    """A fast tokenizer as plain data.

    Attributes:
        spec: the content of tokenizer.json.
        settings: the content of tokenizer_config.json, with special_tokens_map.json where that is older.
        template: the content of chat_template.jinja, if there is one.
    """

    spec: dict[str, Any]
    settings: dict[str, Any]
    template: str | None = None

    @classmethod
    def read(cls, folder: Path) -> TokenizerSpec:
        """Read the tokenizer of a model folder.

        As the model uses it: with the Lowercase that sentence-transformers puts before it, and without added tokens
        that the model has no row for.
        """
        settings: dict[str, Any] = {}
        for name in ("special_tokens_map.json", "tokenizer_config.json"):
            if (folder / name).exists():
                settings |= _read_json(folder / name)
        template = folder / _TEMPLATE
        return cls(
            spec=_with_rows(_lowercased(_read_json(folder / "tokenizer.json"), folder), folder),
            settings=settings,
            template=template.read_text(encoding="utf-8") if template.exists() else None,
        )

    def write(self, folder: Path) -> None:
        """Write the files that transformers and tokenizers read."""
        write_text(folder / "tokenizer.json", json.dumps(self.spec, ensure_ascii=False))
        write_json(folder / "tokenizer_config.json", self.settings)
        if self.template is not None:
            write_text(folder / _TEMPLATE, self.template)

    def load(self) -> Tokenizer:
        """The tokenizer without truncation and padding."""
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
    def vocabulary(self) -> dict[str, int]:
        """The model's tokens and their ids; added tokens outside the model are not among them."""
        return model_vocabulary(self.spec["model"])

    @property
    def ids(self) -> dict[str, int]:
        """All tokens and their ids, added ones included."""
        return self.vocabulary | {token["content"]: token["id"] for token in self.spec["added_tokens"]}

    @property
    def unknown(self) -> str | None:
        """The token of what cannot be read, if there is one."""
        model = self.spec["model"]
        if self.family == "Unigram":
            return None if model.get("unk_id") is None else str(model["vocab"][model["unk_id"]][0])
        token = model.get("unk_token")
        return None if token is None else str(token)

    @property
    def padding_id(self) -> int | None:
        """Id of the padding token, if there is one."""
        token = self.settings.get("pad_token")
        return None if token is None else self.ids.get(_content(token))

    @property
    def specials(self) -> list[str]:
        """Added tokens that are marked special."""
        return [token["content"] for token in self.spec["added_tokens"] if token["special"]]

    @property
    def added(self) -> list[str]:
        """All added tokens."""
        return [token["content"] for token in self.spec["added_tokens"]]

    @property
    def placeholders(self) -> set[str]:
        """Tokens that only reserve a row for later.

        Not those that the teacher uses: marked special, named in the settings, or part of the template.
        """
        reserved = {token for token in self.ids if _PLACEHOLDER.fullmatch(token)}
        return reserved - {*self.specials, *self._named, *_template_tokens(self.spec["post_processor"])}

    @property
    def _named(self) -> list[str]:
        """Tokens that the settings give a part to."""
        named = [_content(self.settings[name]) for name in _NAMED_SPECIALS if self.settings.get(name)]
        for more in (self.settings.get("additional_special_tokens"), self.settings.get("extra_special_tokens")):
            named += map(_content, more.values() if isinstance(more, dict) else more or [])
        return named

    def with_model(
        self, model: dict[str, Any], normalizer: Any, added: list[str], max_seq_length: int | None
    ) -> TokenizerSpec:
        """The same tokenizer around another model: ids of added tokens and of the template follow.

        Args:
            model: the new `model` of tokenizer.json.
            normalizer: the new `normalizer` of tokenizer.json.
            added: the added tokens to keep besides those that the model has.
            max_seq_length: longest input in tokens; None leaves what the settings say.
        """
        ids = model_vocabulary(model)
        wanted = {*added, *ids}
        kept = [token for token in self.spec["added_tokens"] if token["content"] in wanted]
        # Those that the model has not come after it, in their order: the only place the library gives them.
        outside = [token["content"] for token in kept if token["content"] not in ids]
        ids |= {content: len(ids) + number for number, content in enumerate(outside)}
        tokens = sorted(({**t, "id": ids[t["content"]]} for t in kept), key=lambda token: token["id"])
        spec = {
            **self.spec,
            "truncation": None,
            "padding": None,
            "added_tokens": tokens,
            "normalizer": normalizer,
            "model": model,
            "post_processor": _renumber(self.spec["post_processor"], ids),
        }
        return TokenizerSpec(spec=spec, settings=self._settings(ids, max_seq_length), template=self.template)

    def _settings(self, ids: Mapping[str, int], max_seq_length: int | None) -> dict[str, Any]:
        """The settings that every version of transformers reads alike.

        Only tokens that are there are named: transformers would add a row for any other.
        """
        own = self.settings
        longest = max_seq_length or own.get("model_max_length")
        specials = {name: _content(own[name]) for name in _NAMED_SPECIALS if own.get(name)}
        return {
            # Any class named after an architecture rebuilds its own normalizer and would undo the surgery.
            "tokenizer_class": "PreTrainedTokenizerFast",
            **({"model_max_length": longest} if longest else {}),
            "model_input_names": own.get("model_input_names", _BERT_INPUTS if self.family == "WordPiece" else _INPUTS),
            **{name: own[name] for name in _SETTINGS if name in own},
            **_more_specials(own, ids),
            **{name: token for name, token in specials.items() if token in ids},
        }


def _more_specials(settings: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, Any]:
    # transformers 5 writes further special tokens as a list under another name, which 4.57 cannot read.
    more = settings.get("additional_special_tokens") or settings.get("extra_special_tokens") or []
    if isinstance(more, dict):
        return {"extra_special_tokens": {name: _content(t) for name, t in more.items() if _content(t) in ids}}
    there = [_content(token) for token in more if _content(token) in ids]
    return {"additional_special_tokens": there} if there else {}


def _lowercased(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The tokenizer as sentence-transformers uses it: `do_lower_case` puts Lowercase first, unless it is there."""
    wanted = any(_read_json(file).get("do_lower_case") for file in folder.glob("sentence_*_config.json"))
    own = spec["normalizer"]
    if not wanted or _lower_cases(own):
        return spec
    steps = [] if own is None else own["normalizers"] if own["type"] == "Sequence" else [own]
    return {**spec, "normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *steps]}}


def _with_rows(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The tokenizer without the added tokens that lie behind the model's last row.

    EmbeddingGemma names the token of an image, as the model does that it was made from, but has no row for it.
    """
    config = folder / "config.json"
    rows = _read_json(config).get("vocab_size") if config.exists() else None
    if rows is None:
        return spec
    own = model_vocabulary(spec["model"])
    return {**spec, "added_tokens": [t for t in spec["added_tokens"] if t["id"] < rows or t["content"] in own]}


def _lower_cases(normalizer: dict[str, Any] | None) -> bool:
    if normalizer is None:
        return False
    if normalizer["type"] == "Sequence":
        return any(map(_lower_cases, normalizer["normalizers"]))
    return normalizer["type"] == "Lowercase" or bool(normalizer.get("lowercase"))


def _template_tokens(processor: dict[str, Any] | None) -> set[str]:
    """Tokens that a post-processor puts around the text."""
    if processor is None:
        return set()
    if processor["type"] == "Sequence":
        return {token for part in processor["processors"] for token in _template_tokens(part)}
    of_template = processor["special_tokens"].values() if processor["type"] == "TemplateProcessing" else ()
    pair = {processor[name][0] for name in ("sep", "cls") if name in processor}
    return pair | {token for special in of_template for token in special["tokens"]}


def model_vocabulary(model: Mapping[str, Any]) -> dict[str, int]:
    """Tokens and ids of the `model` of a tokenizer.json."""
    vocab = model["vocab"]
    return dict(vocab) if isinstance(vocab, dict) else {piece: number for number, (piece, _) in enumerate(vocab)}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, OSError) as error:
        raise UserError(f"{file} is damaged or missing: expected a tokenizer's JSON. Fetch the model again.") from error


def _renumber(processor: dict[str, Any] | None, ids: dict[str, int]) -> dict[str, Any] | None:
    if processor is None:
        return None
    if processor["type"] == "Sequence":
        return {**processor, "processors": [_renumber(p, ids) for p in processor["processors"]]}
    if processor["type"] == "TemplateProcessing":
        specials = {
            name: {**special, "ids": [ids[token] for token in special["tokens"]]}
            for name, special in processor["special_tokens"].items()
        }
        return {**processor, "special_tokens": specials}
    # BertProcessing and RobertaProcessing name their two tokens as [text, id].
    pairs: dict[str, Any] = {
        name: [processor[name][0], ids[processor[name][0]]] for name in ("sep", "cls") if name in processor
    }
    return {**processor, **pairs}


def _content(token: str | dict[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])
