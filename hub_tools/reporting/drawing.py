"""Paper and pens of all pictures.

All are as narrow as a phone, so that nothing is small on it, and have paper of their own, so that they can be read on
pages of any colour. Models differ in colour (Okabe and Ito, 2008, for all kinds of colour vision) and in shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Literal

from hub_tools.reporting.sentences import named, say

Form = Literal["png", "svg"]

PAPER, INK, SOFT, LINE = "#f6f8fa", "#1b2733", "#52606d", "#d0d7de"
STYLES = (("#6b7785", "o"), ("#d55e00", "^"), ("#0072b2", "D"), ("#009e73", "s"), ("#a8508a", "v"), ("#8a6d00", "P"))
ROLES = {"teacher": 0, "clone": 1, "student": 2, "trim": 3, "distilled": 4}  # look alike in every picture
_WIDTH = 5.4  # inches
LONGEST = 54  # characters that fit into a line
_SETTINGS: dict[Any, Any] = {
    "font.size": 11.5,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.parse_math": False,  # names of files may hold $
    "svg.hashsalt": "hub_tools",  # the same run gives the same file
}


@contextmanager
def new_picture(title: str, form: Form, *, height: float) -> Iterator[tuple[Any, BytesIO]]:
    """Give a figure with a title, `height` inches high, and what holds it as a file when the block ends."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with plt.rc_context(_SETTINGS):
        figure = plt.figure(figsize=(_WIDTH, height), layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1))
        figure.suptitle(title, x=0.02, ha="left", weight="bold", fontsize=14)
        picture = BytesIO()
        yield figure, picture
        figure.savefig(picture, dpi=150, format=form, metadata={"Date": None} if form == "svg" else None)
        plt.close(figure)


def style_of(name: str, names: Sequence[str]) -> tuple[str, str]:
    """Return colour and shape of a model."""
    place = ROLES[name] if set(names) <= ROLES.keys() else list(names).index(name)
    return STYLES[place % len(STYLES)]


def draw_dot(axes: Any, x: float, y: float, color: str, shape: str, *, hollow: bool = False, size: float = 7) -> None:
    """Draw the mark of a model; a hollow one is level with the first."""
    face = PAPER if hollow else color
    axes.plot([x], [y], shape, color=color, markerfacecolor=face, markersize=size, markeredgewidth=1.6, zorder=3)


def write_at(axes: Any, place: float, text: str, **style: Any) -> None:
    """Write at the left edge of a picture."""
    # The grid stays behind the letters.
    paper = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}
    axes.text(0, place, text, transform=axes.get_yaxis_transform(), va="center", bbox=paper, **style)


def explain(figure: Any, names: Sequence[str], lang: str, note: str = "") -> None:
    """Put the legend below the picture."""
    from matplotlib.lines import Line2D

    handles = []
    for name in names:
        color, shape = style_of(name, names)
        handles.append(
            Line2D([], [], color=color, marker=shape, linestyle="", markersize=8, label=shorten(named(name, lang), 46))
        )
    columns = len(names) if sum(map(len, names)) <= LONGEST - 4 * len(names) else 1
    figure.legend(
        handles=handles, loc="outside lower left", ncols=columns, frameon=False, title=note or None, alignment="left"
    )


def shorten(text: str, longest: int = LONGEST) -> str:
    """Return the first characters of a text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def counted(what: str, number: int, lang: str) -> str:
    """Return a number of tasks, models or languages in words."""
    return say(lang, f"count_{what}" if number == 1 else f"count_{what}s", number=number)
