"""The options of the clone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from hub_tools.core.errors import UsageError
from hub_tools.core.fields import Section, option

Init = Literal["align", "mean", "position", "length", "frequency", "focus", "token_distillation"]


@dataclass(frozen=True, kw_only=True)
class CloneConfig(Section):
    """What the student has of its teacher, and how its new embedding rows start."""

    section: ClassVar[str] = "clone"
    init: Init = option(
        "align",
        "How new embedding rows start. align mixes means of the teacher's rows with rows found by word alignment; "
        "without parallel text it is frequency.",
    )
    layers: tuple[int, ...] = option(
        (),
        "Layers of the teacher to keep: how many (the first, the last and those that change held-out text most), or "
        "which ones, counted from 0, e.g. 0,1,2,11.",
        metavar="N_OR_LIST",
        unset="all",
        minimum=0,
        commas=True,
    )

    static: bool = option(
        False,
        "Make a static student: a text's vector is the mean of its tokens' rows. Much faster, less exact.",
    )

    def _check(self) -> None:
        if self.static and self.layers:
            raise UsageError("--static makes a student without layers: leave out --layers, or --static.")
        if self.layers == (0,):
            raise UsageError("--layers 0: expected at least one layer, or a list of them counted from 0.")
