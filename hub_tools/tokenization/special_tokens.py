"""Special tokens by what they do: two tokenizers may give the same part other names."""

from __future__ import annotations

from typing import Any

from hub_tools.tokenization.tokenizer_json import TokenizerSpec, flat_steps

# What a token does, and the settings that name one that does it. Begin and end come first: where one token is the end
# of a text and the padding too (Qwen), the vectors depend on the end.
_NAMES = {"begin": ("cls", "bos"), "end": ("sep", "eos"), "mask": ("mask",), "unknown": ("unk",), "padding": ("pad",)}


def special_token_map(tokenizer: TokenizerSpec) -> dict[str, list[str]]:
    """Return role -> the special tokens that have it, the most important one first."""
    first, last = _template_ends(tokenizer.spec["post_processor"])
    most_important = {"begin": first, "end": last, "unknown": tokenizer.unk_token}
    vocab, by_role = tokenizer.vocab, {}
    for role, names in _NAMES.items():
        tokens = [most_important.get(role), *(tokenizer.named_token(f"{name}_token") for name in names)]
        by_role[role] = list(dict.fromkeys(token for token in tokens if token in vocab))
    return by_role


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
    named = tokenizer.named_token(f"{name}_token")
    return named if named in tokenizer.vocab else next(iter(special_token_map(tokenizer)[role]), None)


def _template_ends(processor: dict[str, Any] | None) -> tuple[str | None, str | None]:
    firsts, lasts = [], []
    for step in flat_steps(processor, "processors"):
        if "cls" in step and "sep" in step:  # BertProcessing and RobertaProcessing
            firsts.append(step["cls"][0])
            lasts.append(step["sep"][0])
        parts = [next(iter(part.items())) for part in step.get("single", [])]
        kinds = [kind for kind, _ in parts]
        text = kinds.index("Sequence") if "Sequence" in kinds else 0
        before, after = parts[:text], parts[text + 1 :]
        firsts += [part["id"] for _, part in before[:1]]
        lasts += [part["id"] for _, part in after[-1:]]
    return next(iter(firsts), None), next(iter(lasts), None)
