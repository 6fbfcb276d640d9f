"""The figures of a run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from hub_tools.core.files import read_as
from hub_tools.core.languages import WITHOUT_SPACES, language_order
from hub_tools.core.run_files import cure_for
from hub_tools.reporting.report import Report

FOLDER = "figures"
_COLORS = ("#9aa5b1", "#0b6e99", "#d08c2e", "#6a8f3c", "#a5485d", "#7a5ea8")


def write_figures(root: Path, report: Report) -> None:
    """Write the figures of the stages that ran into the folder figures/ of a run."""
    folder = root / FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # those of an earlier run
    folder.mkdir()
    for name, content in draw_figures(root, report).items():
        (folder / name).write_bytes(content)


def draw_figures(root: Path, report: Report) -> dict[str, bytes]:
    """Draw the figures of the stages of a run that ran; return name of the file -> PNG.

    What is published or shown is drawn from the record, not taken from the folder figures/, which anyone may change.
    """
    figures = {}
    if report.tokenizer is not None and report.tokenizer.fertility:
        figures["tokens_per_word.png"] = draw_fertility(report.tokenizer.fertility, report.target)
    if report.distill is not None and report.distill.cosine_after is not None:
        training = read_as(dict[str, Any], root / "student" / "training.json", cure_for(root / "student"))
        figures["heldout_cosine.png"] = _draw_history(training["history"])
    return figures


def draw_fertility(fertility: dict[str, dict[str, float]], target: str) -> bytes:
    """Draw language -> tokenizer -> tokens per word: a group of bars a language, the target first."""
    languages = language_order(fertility, target)
    names = list(fertility[languages[0]])
    bar_width = 0.8 / len(names)
    with _axes(width=max(4, 0.32 * len(languages) + 1.5)) as (axes, picture):
        for place, name in enumerate(names):
            values = [fertility[lang][name] for lang in languages]
            offset = (place - (len(names) - 1) / 2) * bar_width
            color = _COLORS[place % len(_COLORS)]
            axes.bar([i + offset for i in range(len(languages))], values, width=bar_width, label=name, color=color)
        axes.set_xticks(range(len(languages)), [lang + ("*" if lang in WITHOUT_SPACES else "") for lang in languages])
        axes.set_ylabel("tokens per word (* per character)")
        axes.margins(x=0.01)
        axes.legend(frameon=False)
    return picture.getvalue()


def _draw_history(history: list[dict[str, Any]]) -> bytes:
    measured = [(entry["step"], entry["cosine"]) for entry in history if entry["cosine"] is not None]
    with _axes(width=6) as (axes, picture):
        axes.plot(*zip(*measured, strict=True), marker="o", color=_COLORS[1])
        axes.set_xlabel("step")
        axes.set_ylabel("mean cosine on held-out text")
        axes.grid(alpha=0.3)
    return picture.getvalue()


@contextmanager
def _axes(*, width: float) -> Iterator[tuple[Any, BytesIO]]:
    """Give the axes of a figure, `width` inches wide, and what holds it as PNG when the block ends."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(width, 3.6), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    picture = BytesIO()
    yield axes, picture
    figure.savefig(picture, dpi=150, format="png")
    plt.close(figure)
