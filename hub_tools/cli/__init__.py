"""The command line: parse, call, print."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_args

import click

from hub_tools.config import REPOS, Init, Loss, RunConfig, Schedule, VectorType, build, read_toml, short_name
from hub_tools.core.distributed import is_main_process
from hub_tools.core.errors import UsageError, explain

# Option -> (section or None, key) of the configuration.
PLACES: dict[str, tuple[str | None, str]] = {
    "teacher": (None, "teacher"),
    "lang": (None, "lang"),
    "output": (None, "output"),
    "device": (None, "device"),
    "precision": (None, "precision"),
    "seed": (None, "seed"),
    "trust_remote_code": (None, "trust_remote_code"),
    "allow_pickle": (None, "allow_pickle"),
    "corpus": ("corpus", "sources"),
    "parallel": ("corpus", "parallel"),
    "limit": ("corpus", "limit"),
    "vocab_size": ("tokenizer", "vocab_size"),
    "tokenizer": ("tokenizer", "use"),
    "keep": ("tokenizer", "keep"),
    "learn": ("tokenizer", "learn"),
    "keep_normalizer": ("tokenizer", "keep_normalizer"),
    "init": ("clone", "init"),
    "distill_limit": ("embed", "distill_limit"),
    "query_prompt": ("embed", "query_prompt"),
    "document_prompt": ("embed", "document_prompt"),
    "query_share": ("embed", "query_share"),
    "document_share": ("embed", "document_share"),
    "embedding_dtype": ("embed", "dtype"),
    "embeddings": ("embed", "use"),
    "text_column": ("embed", "text_column"),
    "embedding_column": ("embed", "embedding_column"),
    "steps": ("distill", "steps"),
    "epochs": ("distill", "epochs"),
    "batch_tokens": ("distill", "batch_tokens"),
    "learning_rate": ("distill", "learning_rate"),
    "loss": ("distill", "loss"),
    "matryoshka": ("distill", "matryoshka"),
    "embedding_only_steps": ("distill", "embedding_only_steps"),
    "embedding_lr": ("distill", "embedding_lr"),
    "schedule": ("distill", "schedule"),
    "micro_batch_tokens": ("distill", "micro_batch_tokens"),
    "dropout": ("distill", "dropout"),
    "gradient_checkpointing": ("distill", "gradient_checkpointing"),
    "compile": ("distill", "compile"),
    "tensorboard": ("distill", "tensorboard"),
    "sts": ("evaluate", "sts"),
    "push_to_hub": ("publish", "namespace"),
    "private": ("publish", "private"),
    "name": ("publish", "name"),
    "only": ("publish", "only"),
    "space": ("publish", "space"),
    "tag": ("publish", "tag"),
}


def _numbers(_context: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Whole numbers with commas between them."""
    if value is None:
        return None
    if not all(part.strip().isdecimal() for part in value.split(",")):
        raise click.BadParameter(f"{value!r}; expected whole numbers with commas between them, e.g. 384,256,128.")
    return tuple(int(part) for part in value.split(","))


_ONE_OF_DEVICES = click.Choice(["auto", "cpu", "cuda", "mps"])
_ONE_OF_PRECISIONS = click.Choice(["auto", "fp32", "bf16", "fp16"])
_CORPUS_HELP = (
    "Text: sample, FILE, DIR/{lang}.txt.gz, or a Hub dataset id[@revision][:config[:split[:column]]]. Repeatable. "
    "[default: Wikipedia from the Hub]"
)
_PARALLEL_HELP = "Aligned text (columns en and the target's code, or source and target). Repeatable."
_PROMPT_HELP = "Text before queries, for a teacher whose files name none; for e5 'query: '. The student keeps it."
_QUERY_HELP = "Share of the target's short texts that get the teacher's query prompt, if it has one. [default: 0.5]"
_DOCUMENT_HELP = "Share of its long texts that get the document prompt. [default: 0.5]"
_EMBEDDINGS_HELP = "Take the vectors of this dataset instead of computing the teacher's."
_ONLY_HELP = (
    "Publish this alone, with a token that may be scoped to it. Repeatable. [default: all three and a collection]"
)
_STS_HELP = "Similarity table to measure on (sentence1, sentence2, score). Repeatable."
_OPTIONS = [
    click.option("--teacher", metavar="ID_OR_DIR", help="Sentence-embedding model: Hub id, id@revision or folder."),
    click.option("--lang", metavar="CODES", help="Target language, e.g. tr; more languages after commas."),
    click.option("--output", metavar="DIR", help="Run folder. [default: runs/TEACHER-LANG]"),
    click.option("--corpus", multiple=True, metavar="SPEC", help=_CORPUS_HELP),
    click.option("--parallel", multiple=True, metavar="FILE", help=_PARALLEL_HELP),
    click.option("--limit", type=int, metavar="N", help="Texts per language, for a quick look."),
    click.option("--vocab-size", type=int, metavar="N", help="Tokens of the student. [default: half of the teacher's]"),
    click.option("--tokenizer", metavar="ID_OR_DIR", help="Use this tokenizer instead of making one."),
    click.option("--keep", type=int, metavar="N", help="Teacher tokens to keep. [default: what the text says]"),
    click.option("--learn", type=int, metavar="N", help="Tokens to learn. [default: what the text says]"),
    click.option("--keep-normalizer", is_flag=True, default=None, help="Even if it loses letters of the language."),
    click.option("--init", type=click.Choice(get_args(Init)), help="How new rows start. [default: align]"),
    click.option("--distill-limit", type=int, metavar="N", help="Monolingual texts per language to train on."),
    click.option("--query-prompt", metavar="TEXT", help=_PROMPT_HELP),
    click.option("--document-prompt", metavar="TEXT", help="Text before documents; for e5 'passage: '."),
    click.option("--query-share", type=float, metavar="X", help=_QUERY_HELP),
    click.option("--document-share", type=float, metavar="X", help=_DOCUMENT_HELP),
    click.option("--embedding-dtype", type=click.Choice(get_args(VectorType)), help="[default: float16]"),
    click.option("--embeddings", metavar="ID_OR_DIR", help=_EMBEDDINGS_HELP),
    click.option("--text-column", metavar="NAME", help="Its column with the texts. [default: text]"),
    click.option("--embedding-column", metavar="NAME", help="Its column with the vectors. [default: embedding]"),
    click.option("--steps", type=int, metavar="N", help="Training steps. [default: as --epochs says]"),
    click.option("--epochs", type=float, metavar="X", help="Passes through the data. [default: 3]"),
    click.option("--batch-tokens", type=int, metavar="N", help="Tokens of a step. [default: 8192, on CPUs 1024]"),
    click.option("--learning-rate", type=float, metavar="X", help="Peak. [default: 1e-3 or less, by size and steps]"),
    click.option("--loss", type=click.Choice(get_args(Loss)), help="[default: cosine]"),
    click.option("--matryoshka", callback=_numbers, metavar="DIMS", help="Train leading parts too, e.g. 384,256,128."),
    click.option("--schedule", type=click.Choice(get_args(Schedule)), help="How the rate falls. [default: cosine]"),
    click.option("--embedding-only-steps", type=int, metavar="N", help="First steps, with the token embeddings alone."),
    click.option(
        "--embedding-lr", type=float, metavar="X", help="Their peak rate in these. [default: --learning-rate]"
    ),
    click.option(
        "--micro-batch-tokens", type=int, metavar="N", help="Tokens in memory at once. [default: a whole step]"
    ),
    click.option("--gradient-checkpointing", is_flag=True, default=None, help="Less memory, more time."),
    click.option("--compile", is_flag=True, default=None, help="torch.compile; needs a C++ compiler."),
    click.option("--dropout", is_flag=True, default=None, help="Train with the teacher's dropout."),
    click.option("--tensorboard", is_flag=True, default=None, help="Write student/tensorboard; needs tensorboard."),
    click.option("--sts", multiple=True, metavar="FILE", help=_STS_HELP),
    click.option("--device", type=_ONE_OF_DEVICES, help="[default: auto]"),
    click.option("--precision", type=_ONE_OF_PRECISIONS, help="[default: auto]"),
    click.option("--seed", type=int, metavar="N", help="[default: 42]"),
    click.option("--trust-remote-code", is_flag=True, default=None, help="Run Python code that the teacher brings."),
    click.option("--allow-pickle", is_flag=True, default=None, help="Load teacher weights that are no safetensors."),
    click.option("--config", "config_file", metavar="FILE", help="TOML file with any of these; the command line wins."),
    click.option("--resume/--fresh", default=True, help="Use finished stages again, or start anew. [default: resume]"),
    click.option("--dry-run", is_flag=True, help="Print the plan and change nothing."),
]
# Where a whole job is published; the stages push nothing.
_PUSH_OPTIONS = [
    click.option("--push-to-hub", metavar="NAMESPACE", help="Publish on the Hub as this user or organization."),
    click.option("--private", is_flag=True, default=None, help="Publish in private repos."),
    click.option("--name", metavar="NAME", help="Name of the model repo. [default: TEACHER-LANG]"),
    click.option("--only", multiple=True, type=click.Choice(REPOS), help=_ONLY_HELP),
    click.option("--space", is_flag=True, default=None, help="Publish a Space that shows the model, too."),
    click.option("--tag", metavar="TAG", help="Tag the published state of each repo, e.g. v1.0."),
]

_STAGE_HELP = {
    "corpus": "Collect, clean and split the text.",
    "tokenizer": "Make the student's tokenizer.",
    "clone": "Give the teacher the student's tokenizer.",
    "embed": "Compute the teacher's vectors of the text.",
    "distill": "Train the student on those vectors.",
    "evaluate": "Measure teacher, clone and student.",
}


def _with_options(*options: Callable[..., Any]) -> Callable[..., Any]:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _configure(options: dict[str, Any]) -> RunConfig:
    values: dict[str, Any] = {}
    if options["config_file"]:
        values |= read_toml(Path(options["config_file"]))
    for option, (section, key) in PLACES.items():
        given = options.get(option)
        if given is None or given == ():
            continue
        place = values if section is None else values.setdefault(section, {})
        place[key] = given
    if values.get("teacher") in (".", "..", "./", "../"):
        values["teacher"] = str(Path(values["teacher"]).resolve())  # runs and repos are named after it
    if values.get("teacher") and values.get("lang") and not values.get("output"):
        lang = values["lang"] if isinstance(values["lang"], str) else values["lang"][0]
        values["output"] = str(Path("runs") / f"{short_name(values['teacher'])}-{lang.partition(',')[0]}")
    return build(values)


def _work(options: dict[str, Any], last: str) -> None:
    from hub_tools import pipeline

    config = _configure(options)
    if options["dry_run"]:
        if is_main_process():
            click.echo(pipeline.plan(config))
        return
    report = pipeline.run(config, last=last, fresh=not options["resume"])
    _print_end(report, config, last)


def _print_end(report: dict[str, Any], config: RunConfig, last: str) -> None:
    if last in ("evaluate", "publish") and is_main_process():
        from hub_tools.reporting.text import summary

        click.echo(summary(report, config.target))
        click.echo(f"\nThe student is in {config.output / 'student'}, the report in {config.output / 'report.md'}.")


@click.group(
    invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@_with_options(*_OPTIONS, *_PUSH_OPTIONS)
@click.version_option(package_name="hub-tools")
@click.pass_context
def main(context: click.Context, /, **options: Any) -> None:
    """Give a language its own sentence-embedding model.

    hub-distill --teacher ID_OR_DIR --lang tr does the whole job; hub-distill STAGE does one stage and what it
    needs; hub-distill demo shows it all on a small bundled sample.
    """
    given = {name: value for name, value in options.items() if _was_given(context, name)}
    context.obj = given
    push = {name for name, (section, _) in PLACES.items() if section == "publish"}
    if context.invoked_subcommand in _STAGE_HELP and push & set(given):
        raise UsageError(
            "A single stage pushes nothing: give --push-to-hub to the whole job or to hub-distill publish."
        )
    if given and context.invoked_subcommand not in (None, *_STAGE_HELP):
        raise UsageError(f"Options of {context.invoked_subcommand} stand after its name.")
    if context.invoked_subcommand is None:
        if not given.get("teacher") and not given.get("config_file"):
            raise UsageError("Missing --teacher (a Hub id or a folder). `hub-distill --help` lists the options.")
        _work(options, last="publish")


def _was_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _add_stage(name: str, text: str) -> None:
    @main.command(name, help=text)
    @_with_options(*_OPTIONS)
    @click.pass_context
    def stage(context: click.Context, /, **options: Any) -> None:
        # Options may stand before or after the stage's name.
        given = {name: value for name, value in options.items() if _was_given(context, name)}
        _work({**options, **context.obj, **given}, last=name)


for _name, _text in _STAGE_HELP.items():
    _add_stage(_name, _text)


@main.command()
@click.option("--output", default="demo-run", show_default=True, metavar="DIR", help="Run folder.")
@click.option("--resume/--fresh", default=True, help="Use finished stages again, or start anew. [default: resume]")
@click.option("--dry-run", is_flag=True, help="Print the plan and change nothing.")
@click.option("--space", is_flag=True, help="Then open the Space: a page that shows teacher and student.")
def demo(output: str, resume: bool, dry_run: bool, space: bool) -> None:
    """Do the whole job on a real teacher and the bundled sample text, in a few minutes.

    It shows the tool working. The sample is far too small for a student that is good for anything: real
    students need real corpora.
    """
    from hub_tools import pipeline
    from hub_tools.demo import demo_config

    config = demo_config(Path(output))
    if dry_run:
        click.echo(pipeline.plan(config))
        return
    if space:
        from hub_tools.space.serve import check_installed

        check_installed()
    _print_end(pipeline.run(config, fresh=not resume), config, "evaluate")
    if space:
        _open_space(config.output)


def _open_space(run: Path, *, documents: str | None = None, host: str | None = None, port: int | None = None) -> None:
    from hub_tools.space.content import from_run
    from hub_tools.space.serve import serve

    serve(from_run(run), documents=Path(documents) if documents else None, host=host, port=port)


_DOCUMENTS_HELP = "Texts of yours to search in, one more corpus (formats as for --corpus)."


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--documents", metavar="FILE", help=_DOCUMENTS_HELP)
@click.option("--host", metavar="ADDRESS", help="Address to listen on. [default: this machine only]")
@click.option("--port", type=int, metavar="N", help="[default: the first free one from 7860]")
def space(run: Path, documents: str | None, host: str | None, port: int | None) -> None:
    """Open a page that shows a finished RUN: tokenizers, search, similarity, results.

    It needs more packages: pip install 'hub-tools[space]'.
    """
    _open_space(run, documents=documents, host=host, port=port)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@_with_options(*_PUSH_OPTIONS)
@click.option("--dry-run", is_flag=True, help="List every file with its size and change nothing.")
@click.option("--check", is_flag=True, help="Only see whether the repos may be written; RUN need not be there yet.")
def publish(run: Path, *, dry_run: bool, check: bool, **given: Any) -> None:
    """Publish a finished RUN on the Hub: model, tokenizer and the teacher's vectors, each with its card.

    The dataset holds the texts of the run. Leave it out with --only model --only tokenizer where they are not
    yours to publish.
    """
    from hub_tools.core.logging import start_logging
    from hub_tools.hub import publish as hub

    options = {PLACES[name][1]: value for name, value in given.items() if value not in (None, ())}
    if dry_run:
        click.echo(hub.plan_push(run, options))
        return
    start_logging()
    if check:
        click.echo("\n".join(f"may be written: {repo_id}" for repo_id in hub.check(run, options)))
        return
    click.echo("\n".join(hub.publish(run, options)))


@main.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="RUN_OR_MODEL")
@click.option("--format", "kind", required=True, type=click.Choice(["onnx", "onnx-int8", "openvino"]))
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="[default: MODEL-FORMAT beside it]")
@click.option("--trust-remote-code", is_flag=True, help="Run Python code that the model brings.")
def export(source: Path, kind: str, output: Path | None, *, trust_remote_code: bool) -> None:
    """Export the student of a RUN, or a MODEL, for deployment, and compare the vectors: other vectors are refused."""
    from hub_tools.core.logging import start_logging
    from hub_tools.models import export as exports
    from hub_tools.models.loading import LoadPolicy

    start_logging()
    found = exports.export(source, cast("exports.Format", kind), output, policy=LoadPolicy(code=trust_remote_code))
    click.echo(
        f"{found['folder']}/{found['file']}: {found['bytes'] / 1e6:,.1f} MB, least cosine {found['least_cosine']}"
    )


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="OPTIONS_OF_HUB_DISTILL...")
@click.option("--flavor", metavar="NAME", help="Hardware, see `hf jobs hardware`. [default: a10g-small]")
@click.option("--timeout", metavar="TIME", help="Longest time, e.g. 6h. [default: 12h]")
@click.option("--submit", is_flag=True, help="Submit the job; without it the command is only printed.")
@click.option("--dry-run", is_flag=True, help="Let `hf` check the job without submitting it.")
def jobs(options: tuple[str, ...], flavor: str | None, timeout: str | None, *, submit: bool, dry_run: bool) -> None:
    """Do the whole job on a machine of Hugging Face Jobs, with the OPTIONS of hub-distill.

    hub-distill jobs --teacher google/embeddinggemma-300m --lang tr --push-to-hub NAMESPACE prints the command;
    --submit runs it.
    """
    from hub_tools.hub import jobs as remote

    # The options of the whole job, less those that are about folders of this machine.
    known = [param for param in main.params if param.name not in ("config_file", "output", "resume", "dry_run")]
    given = click.Command("hub-distill", params=known).make_context("hub-distill jobs", list(options)).params
    remote.check_remote(_configure({"config_file": None, **given}))
    command = remote.job_command(options, flavor=flavor, timeout=timeout)
    click.echo(remote.show(command))
    if dry_run:
        remote.run_hf([*command[:4], "--dry-run", *command[4:]])
    elif submit:
        remote.run_hf(command)


@main.command()
@click.option("--tokenizer", "tokenizers", multiple=True, required=True, metavar="ID_OR_DIR", help="Repeatable.")
@click.option(
    "--text", required=True, metavar="FILE", help="Text, plain or gzipped; a path with {lang} for many languages."
)
@click.option("--lang", default="en", show_default=True, help="Language of the text; the one shown first.")
@click.option("--parallel", type=click.Path(dir_okay=False), help="Table with a column a language, for parity.")
@click.option("--output", metavar="DIR", help="Write fertility.json, fertility.md and a figure there.")
def fertility(tokenizers: tuple[str, ...], text: str, lang: str, parallel: str | None, output: str | None) -> None:
    """Compare how tokenizers cut text."""
    from hub_tools.core.languages import check_language
    from hub_tools.reporting.fertility import compare

    aligned, out = (Path(value) if value else None for value in (parallel, output))
    click.echo(compare(tokenizers, text, check_language(lang), parallel=aligned, out=out))


def run() -> None:
    """Entry point of `hub-distill` and `hf-distill`: errors become one sentence and an exit code."""
    name = "hf distill" if Path(sys.argv[0]).name.startswith("hf-distill") else "hub-distill"
    try:
        main(prog_name=name, standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("Stopped. Run the same command again to go on.", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        click.echo(f"Error: {message}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)
