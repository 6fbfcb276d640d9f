"""`hub-distill fertility`: tokenizers side by side."""

from __future__ import annotations

from pathlib import Path

import click

_FILE, _FOLDER = click.Path(dir_okay=False, path_type=Path), click.Path(path_type=Path)


@click.command()
@click.option("--tokenizer", "tokenizers", multiple=True, required=True, metavar="ID_OR_DIR", help="Repeatable.")
@click.option(
    "--text", required=True, metavar="FILE", help="Text, plain or gzipped; a path with {lang} for many languages."
)
@click.option("--lang", default="en", show_default=True, help="Language of the text; the one shown first.")
@click.option("--parallel", type=_FILE, help="Table with one column per language, for parity.")
@click.option("--output", type=_FOLDER, metavar="DIR", help="Write fertility.json, fertility.md and a figure there.")
def fertility(tokenizers: tuple[str, ...], text: str, lang: str, parallel: Path | None, output: Path | None) -> None:
    """Compare how tokenizers split text."""
    from hub_tools.core.languages import check_language
    from hub_tools.reporting.fertility import compare, write_comparison

    comparison = compare(tokenizers, text, check_language(lang), parallel=parallel)
    click.echo(comparison)  # before it is written, which may fail
    if output is not None:
        write_comparison(comparison, output, lang)
