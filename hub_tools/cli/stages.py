"""The whole job, its stages and the demo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hub_tools.cli.base import (
    RUN_OPTIONS,
    GroupedCommand,
    command_line_options,
    configure,
    tune_process,
)
from hub_tools.cli.report import print_report
from hub_tools.config import RunConfig
from hub_tools.core.distributed import is_main_process
from hub_tools.core.errors import UsageError
from hub_tools.options import OPTIONS, click_options, nest

# In the order of the job: a stage uses the options of those before it.
STAGES = {
    "corpus": "Collect, clean and split the text.",
    "tokenizer": "Make the student's tokenizer.",
    "clone": "Give the teacher the student's tokenizer.",
    "embed": "Compute the teacher's vectors of the text.",
    "distill": "Train the student on those vectors.",
    "finetune": "Train it with labels too, without forgetting.",
    "evaluate": "Measure teacher, clone and student, or any models.",
}
# Sections of the configuration that the help of a stage shows besides its own.
_MORE_SECTIONS = {"corpus": ("scale",), "embed": ("scale",)}
_EPILOG = "Earlier stages that are not done yet run first (their options: hub-distill --help-all)."
# Options that say how to run, and what they are where they are not given.
_HOW = {"resume": True, "dry_run": False, "as_json": False}
# Options that `evaluate MODEL ...` takes.
_OF_COMPARISONS = {"lang", "output", "evaluate", "device", "precision", "trust_remote_code", "allow_pickle"}
_HELP = {
    "evaluate": """Measure teacher, clone and student, or any models.

    hub-distill evaluate MODEL MODEL --sts FILE measures models of the Hub, in folders, or those of a run folder side by
    side; differences are to the first."""
}


def run_until(last: str, options: Mapping[str, Any]) -> None:
    """Do the job up to a stage with the options that were given, by name; `publish` is the whole job.

    Raises:
        HubToolsError: something that the user can change.
    """
    if last != "publish" and "publish" in nest(options):
        raise UsageError(
            "A single stage pushes nothing: give --push-to-hub to the whole job or to hub-distill publish."
        )
    run_job(configure(options), last=last, **{name: options.get(name, default) for name, default in _HOW.items()})


def run_job(
    config: RunConfig,
    *,
    last: str = "publish",
    resume: bool = True,
    dry_run: bool = False,
    as_json: bool = False,
) -> None:
    """Do the job up to a stage and print what came out; or print the plan."""
    from hub_tools import pipeline
    from hub_tools.stages.plan import plan

    if dry_run and as_json:
        raise UsageError("A plan is in words: leave out --dry-run or --json.")
    if dry_run:
        if is_main_process():
            click.echo(plan(config))
        return
    tune_process()
    report = pipeline.run(config, last=last, fresh=not resume)
    if is_main_process():
        print_report(report, config.output, as_json=as_json)


def stage_command(name: str) -> click.Command:
    """Return the command of a stage: its help shows its own options, but it takes those of the whole job."""
    sections = ("", name, *_MORE_SECTIONS.get(name, ()))
    own = {option.name for option in OPTIONS if option.section in sections} | {"corpus", "parallel"}

    def callback(models: tuple[str, ...] = (), **options: Any) -> None:
        # Options may stand before or after the stage's name.
        context = click.get_current_context()
        given = {**(context.obj or {}), **command_line_options(context, options)}
        if models:
            compare_models(models, given)
        else:
            run_until(name, given)

    params: list[click.Parameter] = [*click_options(own), *RUN_OPTIONS]
    if name == "evaluate":
        params.append(click.Argument(["models"], nargs=-1, metavar="[MODEL ...]"))
    return GroupedCommand(name, params=params, callback=callback, help=_HELP.get(name, STAGES[name]), epilog=_EPILOG)


def compare_models(models: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """Measure models that are named instead of those of a run, with the options that were given, by name.

    Raises:
        HubToolsError: something that the user can change.
    """
    from hub_tools.comparison import compare
    from hub_tools.core.hardware import choose_hardware
    from hub_tools.evaluation.mteb_tasks import chosen_tasks
    from hub_tools.models.loading import LoadPolicy

    asked = nest(options)
    if unused := asked.keys() - _OF_COMPARISONS:
        raise UsageError(f"Models that are named are only measured: {min(unused)} has no meaning with them.")
    # Where tables hold one language alone, none has to be said.
    config = RunConfig.from_dict({"teacher": models[0], "lang": "en", **asked})
    tasks = chosen_tasks(config.evaluate, config.lang)
    if not tasks:
        raise UsageError("Nothing to measure on: give --sts, --retrieval, --bitext, --mteb or another kind of data.")
    tune_process()
    hardware = choose_hardware(config.device, config.precision)
    policy = LoadPolicy(code=config.trust_remote_code, pickle=config.allow_pickle)
    out = config.output if "output" in asked else Path("evaluation")
    table = compare(
        models,
        tasks,
        out,
        lang=config.target,
        hardware=hardware,
        policy=policy,
        max_tokens=config.evaluate.max_tokens,
        in_mteb_format=bool(config.evaluate.mteb),
    )
    if options.get("as_json"):
        click.echo((out / "scores.json").read_text(encoding="utf-8"), nl=False)
        return
    click.echo(table)
    also = f", in mteb's format in {out / 'mteb'}" if config.evaluate.mteb else ""
    click.echo(f"\nThe scores are in {out / 'scores.json'} and {out / 'scores.md'}{also}.")


def _demo(output: str, *, space: bool, resume: bool, dry_run: bool, as_json: bool) -> None:
    """Do the whole job on a real teacher and bundled text.

    It takes a few minutes and shows that the tool works. The sample is far too small for a useful student: that needs
    real text.
    """
    from hub_tools.cli.space import show
    from hub_tools.demo import demo_config
    from hub_tools.space.serve import check_installed

    config, opens = demo_config(Path(output)), space and not dry_run
    if opens:
        check_installed()
    run_job(config, resume=resume, dry_run=dry_run, as_json=as_json)
    if opens:
        show(config.output)


demo = click.Command(
    "demo",
    params=[
        click.Option(["--output"], default="demo-run", show_default=True, metavar="DIR", help="Run folder."),
        click.Option(["--space"], is_flag=True, help="Then open the Space: a page that shows teacher and student."),
        *(option for option in RUN_OPTIONS if option.name != "config_file"),
    ],
    callback=_demo,
    help=_demo.__doc__,
)
