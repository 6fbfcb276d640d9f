"""space.json: the models that a published Space shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hub_tools.core.files import read_as

SETTINGS_FILE = "space.json"
# A student's id and this are the id of the Space that is published with it.
SPACE_SUFFIX = "-demo"


@dataclass(frozen=True, kw_only=True)
class SpaceSettings:
    """Hub ids; None for what the Space does not show."""

    student: str  # the model that the Space is about
    teacher: str | None = None  # with its revision, or `bundled`
    tokenizer: str | None = None  # the repo of its tokenizer, to link to
    dataset: str | None = None  # the repo of the teacher's vectors, to link to

    @classmethod
    def read(cls, folder: Path) -> SpaceSettings:
        """Read the settings in the folder of a Space.

        Raises:
            UserError: the file is missing, or holds something else.
        """
        return read_as(cls, folder / SETTINGS_FILE)
