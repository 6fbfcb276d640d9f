"""Special tokens by what they do: two tokenizers may give the same part other names."""

from __future__ import annotations

from typing import Any

from hub_tools.tokenization.tokenizer_json import TokenizerSpec

# What a token does, and the settings that name one that does it. Begin and end come first: where one token is the end
# of a text and the padding too (Qwen), the vectors depend on the end.
_NAMES = {"begin": ("cls", "bos"), "end": ("sep", "eos"), "mask": ("mask",), "unknown": ("unk",), "padding": ("pad",)}


def special_token_map(tokenizer: TokenizerSpec) -> dict[str, list[str]]:
    """Return role -> the special tokens that have it, the most important one first."""
    first, last = _template_ends(tokenizer.spec["post_processor"])
    by_role: dict[str, list[str | None]] = {
        "begin": [first],
        "end": [last],
        "mask": [],
        "unknown": [tokenizer.unk_token],
        "padding": [],
    }
    vocab = tokenizer.vocab
    for role, names in _NAMES.items():
        by_role[role] += [_content(tokenizer.settings.get(f"{name}_token")) for name in names]
    return {role: list(dict.fromkeys(t for t in tokens if t in vocab)) for role, tokens in by_role.items()}


def match_special_tokens(source: TokenizerSpec, target: TokenizerSpec) -> dict[str, str]:
    """Map each special token of one tokenizer to that of another with the same name, or else with the same role."""
    source_roles, target_roles = special_token_map(source), special_token_map(target)
    target_special = {*target.added_tokens, *(token for tokens in target_roles.values() for token in tokens)}
    matches = {token: token for token in source.added_tokens if token in target_special}
    for role, tokens in source_roles.items():
        for token in tokens:
            candidates = [token] if token in target_special else target_roles[role]
            if candidates:
                matches.setdefault(token, candidates[0])
    return matches


def token_for(setting: str, tokenizer: TokenizerSpec) -> str | None:
    """Return the token that a setting like `cls_token_id` has to name; None where no token has its role."""
    name = setting.removesuffix("_token_id")
    role = next((role for role, names in _NAMES.items() if name in names), None)
    if role is None:
        return None
    named = _content(tokenizer.settings.get(f"{name}_token"))
    return named if named in tokenizer.vocab else next(iter(special_token_map(tokenizer)[role]), None)


def _content(token: str | dict[str, Any] | None) -> str | None:
    return token["content"] if isinstance(token, dict) else token


def _template_ends(processor: dict[str, Any] | None) -> tuple[str | None, str | None]:
    """Return the special tokens that a template puts before and after a text."""
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
