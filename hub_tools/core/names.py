"""Names of models."""

from __future__ import annotations

import re
from pathlib import PurePath


def short_name(teacher: str) -> str:
    """Return the last part of a Hub id, less its revision, or of a folder: run folders and repos are named after it."""
    hub_id = re.fullmatch(r"([\w.-]+/)?([\w.-]+)(@.+)?", teacher)
    return hub_id[2] if hub_id else PurePath(teacher).name
