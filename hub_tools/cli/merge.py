"""`hub-distill merge`: models of one architecture and tokenizer as one."""

from __future__ import annotations

from typing import Any

import click

from hub_tools.cli.base import OUTPUT_OPTIONS, GroupedCommand, command_line_options, tune_process
from hub_tools.core.errors import UsageError
from hub_tools.options import OPTIONS, click_options, nest

_MEASURED_ON = {option.name for option in OPTIONS if option.section == "evaluate"}
_SHOWN = _MEASURED_ON | {"lang", "output", "device", "trust_remote_code", "allow_pickle"}


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--weights {text}: expected numbers with commas between them, such as 0.5,0.5.") from error


def _merge(models: tuple[str, ...], weights: str | None, **_: Any) -> None:
    """Average models that began as the same student.

    hub-distill merge A B --weights 0.7,0.3 --output DIR writes their mean into DIR, with the settings of the first.
    With files to measure on (--sts, --retrieval, ...) it is measured beside its parts.
    """
    from hub_tools.cli.stages import compare_models
    from hub_tools.config import RunConfig
    from hub_tools.finetuning.merge import check_weights, merge
    from hub_tools.models.loading import LoadPolicy

    given = command_line_options(click.get_current_context(), _)
    shares = check_weights(models, _numbers(weights) if weights else [])
    if "output" not in given:
        raise UsageError("Missing --output, the folder for the merged model.")
    asked = nest(given)
    config = RunConfig.from_dict({"teacher": models[0], "lang": "en", **asked})
    tune_process()
    policy = LoadPolicy(code=config.trust_remote_code, pickle=config.allow_pickle)
    merged = merge(models, shares, config.output, policy=policy)
    click.echo(f"{config.output}: " + ", ".join(f"{share:.3g} of {name}" for name, share in merged.items()))
    if "evaluate" in asked:
        where = {"output": str(config.output) + "-evaluation"}
        compare_models((*models, str(config.output)), {**given, **where})


merge = GroupedCommand(
    "merge",
    params=[
        click.Argument(["models"], nargs=-1, metavar="MODEL MODEL ..."),
        click.Option(["--weights"], metavar="X,X", help="Weight of each model. [default: all alike]"),
        *(option for option in click_options(_SHOWN) if option.name in _SHOWN),
        *OUTPUT_OPTIONS,
    ],
    callback=_merge,
    help=_merge.__doc__,
)
