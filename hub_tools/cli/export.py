"""`hub-distill export`: a model for deployment."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="RUN_OR_MODEL")
@click.option("--format", "kind", required=True, type=click.Choice(["onnx", "onnx-int8", "openvino", "openvino-int8"]))
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="[default: MODEL-FORMAT beside it]")
@click.option("--trust-remote-code", is_flag=True, help="Run Python code that the model brings.")
def export(source: Path, kind: str, output: Path | None, *, trust_remote_code: bool) -> None:
    """Write a model as ONNX or OpenVINO, in fp32 or int8.

    Takes the student of a RUN, or a MODEL. An export whose vectors differ from the model's is refused.
    """
    from hub_tools.core.logging import quiet_libraries
    from hub_tools.exporting import export as exports
    from hub_tools.models.loading import LoadPolicy

    quiet_libraries()
    exported = exports.export(source, cast("exports.Format", kind), output, policy=LoadPolicy(code=trust_remote_code))
    size = f"{exported['bytes'] / 1e6:,.1f} MB"
    ranked = f"similarities ranked {100 * exported['similarities_ranked']:.1f} of 100"
    click.echo(f"{exported['folder']}/{exported['file']}: {size}, least cosine {exported['least_cosine']}, {ranked}")
