"""Models of one architecture and tokenizer as one: the weighted mean of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.files import hash_file, write_json
from hub_tools.finetuning.finetune import load_weights, weighted_sum, weights_of
from hub_tools.models.loading import LoadPolicy, load_model, longest_input, save_model
from hub_tools.models.resolve import find_teacher
from hub_tools.models.teacher import Teacher

# What was merged, in the folder of the result.
MERGED = "merged.json"


def check_weights(models: Sequence[str], weights: Sequence[float]) -> list[float]:
    """Return a weight for each model, scaled to the sum 1; none given are all alike.

    Raises:
        UsageError: there is one model alone, or another number of weights, or their sum is not above 0.
    """
    if len(models) <= 1:
        raise UsageError(f"Only {models[0] if models else 'nothing'} is named. Expected two models at least to merge.")
    weights = list(weights) or [1.0] * len(models)
    if len(weights) != len(models):
        raise UsageError(f"--weights has {len(weights)} numbers for {len(models)} models. Expected one for each.")
    if min(weights) < 0 or sum(weights) <= 0:
        raise UsageError(f"--weights {','.join(map(str, weights))}: expected numbers of 0 and more, not all of them 0.")
    return [weight / sum(weights) for weight in weights]


def merge(models: Sequence[str], weights: Sequence[float], out: Path, *, policy: LoadPolicy) -> dict[str, float]:
    """Write the mean of models, ids of the Hub or folders, into a new folder; return the share of each.

    Settings, prompts and tokenizer are the first one's.

    Raises:
        UserError: they differ in architecture or tokenizer, one is not found, or the folder holds something.
        UsageError: as of `check_weights`.
    """
    shares = check_weights(models, weights)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--output {out} is not empty. Choose a new folder.")
    found = [find_teacher(model, policy=policy) for model in models]
    for name, model in zip(models[1:], found[1:], strict=True):
        _check_tokenizer(models[0], found[0], name, model)
    loaded = load_model(found[0].path, device="cpu", policy=policy)
    all_weights = [weights_of(loaded)]
    for name, model in zip(models[1:], found[1:], strict=True):
        other = load_model(model.path, device="cpu", policy=policy)
        _check_architecture(models[0], loaded, name, other)
        all_weights.append(weights_of(other))
    load_weights(loaded, weighted_sum(all_weights, shares))
    save_model(loaded, out, tokenizer=found[0].input_folder, max_seq_length=longest_input(loaded))
    merged = dict(zip(models, shares, strict=True))
    write_json(out / MERGED, {"merged": merged})
    return merged


def _check_tokenizer(first: str, one: Teacher, second: str, other: Teacher) -> None:
    files = [model.input_folder / "tokenizer.json" for model in (one, other)]
    if hash_file(files[0]) != hash_file(files[1]):
        raise UserError(
            f"{second} has another tokenizer than {first}, so their rows mean other tokens. Expected models that were "
            "trained from the same student."
        )


def _check_architecture(first: str, one: Any, second: str, other: Any) -> None:
    """Compare the kinds of all modules and the shapes of all weights."""

    def outline(model: Any) -> list[tuple[str, str]]:
        modules = [(name, type(module).__name__) for name, module in model.named_modules()]
        shapes = [(name, str(tuple(p.shape))) for name, p in model.named_parameters()]
        return [*modules, *shapes]

    differing = set(outline(one)) ^ set(outline(other))
    if differing:
        raise UserError(
            f"{second} has another architecture than {first}: {min(differing)[0] or 'the whole'} differs. Expected "
            "models that were trained from the same student."
        )
