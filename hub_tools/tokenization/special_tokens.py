"""Special tokens by what they do: two tokenizers may give the same part other names."""

from __future__ import annotations

from typing import Any

from hub_tools.tokenization.tokenizer_json import TokenizerSpec

# What a token does, and the settings that name one that does it. Begin and end come first: where one token is the end
# of a text and fills it up too (Qwen), the vectors hang on the end.
_NAMES = {"begin": ("cls", "bos"), "end": ("sep", "eos"), "mask": ("mask",), "unknown": ("unk",), "padding": ("pad",)}


def roles(tokenizer: TokenizerSpec) -> dict[str, list[str]]:
    """The special tokens with each role, the most important one first; only those that are there."""
    first, last = _template_ends(tokenizer.spec["post_processor"])
    found: dict[str, list[str | None]] = {
        "begin": [first],
        "end": [last],
        "mask": [],
        "unknown": [tokenizer.unknown],
        "padding": [],
    }
    ids = tokenizer.ids
    for role, names in _NAMES.items():
        found[role] += [_content(tokenizer.settings.get(f"{name}_token")) for name in names]
    return {role: list(dict.fromkeys(t for t in tokens if t in ids)) for role, tokens in found.items()}


def match_special_tokens(source: TokenizerSpec, target: TokenizerSpec) -> dict[str, str]:
    """For each special token of one tokenizer the one of another that has the same name, or else the same role."""
    ours, theirs = roles(source), roles(target)
    special = {*target.added, *(token for tokens in theirs.values() for token in tokens)}
    found = {token: token for token in source.added if token in special}
    for role, tokens in ours.items():
        for token in tokens:
            same = [token] if token in special else theirs[role]
            if same:
                found.setdefault(token, same[0])
    return found


def token_for(setting: str, tokenizer: TokenizerSpec) -> str | None:
    """The token that a configuration's `cls_token_id` (and its like) shall name; None where no token does that."""
    name = setting.removesuffix("_token_id")
    role = next((role for role, names in _NAMES.items() if name in names), None)
    if role is None:
        return None
    own = _content(tokenizer.settings.get(f"{name}_token"))
    return own if own in tokenizer.ids else next(iter(roles(tokenizer)[role]), None)


def _content(token: str | dict[str, Any] | None) -> str | None:
    return token["content"] if isinstance(token, dict) else token


def _template_ends(processor: dict[str, Any] | None) -> tuple[str | None, str | None]:
    """The special tokens that a template puts before and after a text."""
    if processor is None:
        return None, None
    if processor["type"] == "Sequence":
        ends = [_template_ends(part) for part in processor["processors"]]
        return next((first for first, _ in ends if first), None), next((last for _, last in ends if last), None)
    if "cls" in processor and "sep" in processor:  # BertProcessing and RobertaProcessing
        return processor["cls"][0], processor["sep"][0]
    parts = [next(iter(part.items())) for part in processor.get("single", [])]
    kinds = [kind for kind, _ in parts]
    text = kinds.index("Sequence") if "Sequence" in kinds else 0
    before = [part["id"] for _, part in parts[:text]]
    after = [part["id"] for _, part in parts[text + 1 :]]
    return (before[0] if before else None), (after[-1] if after else None)
