"""What a user reads when something goes wrong: one table from exceptions to one clear sentence."""

from __future__ import annotations

import errno


class HubToolsError(Exception):
    """Base of all errors that hub_tools raises on purpose; its text is meant for the user."""


class UserError(HubToolsError):
    """The input or an option cannot work; the message says what was expected and what to do."""


class UsageError(HubToolsError):
    """The command line or the configuration file is wrong (exit code 2)."""


def explain(error: BaseException) -> str | None:
    """Turn an exception into the sentence the user reads.

    Args:
        error: whatever reached the command line.

    Returns:
        The message, or None for an exception that is a defect of hub_tools and deserves a traceback.
    """
    if isinstance(error, HubToolsError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        where = f" while writing {error.filename}" if error.filename else ""
        return (
            f"The disk is full, or a limit of size is reached{where}. Free some space and run the same command again: "
            "finished stages are kept. --limit makes every file smaller."
        )
    if isinstance(error, PermissionError | NotADirectoryError | IsADirectoryError | FileExistsError):
        return f"Could not use {error.filename}: {error.strerror}. Choose another --output or change its permissions."
    if isinstance(error, FileNotFoundError):
        # pyarrow names the file in its text alone.
        return f"{error.filename}: there is no such file." if error.filename else f"{error.strerror or error}."
    if is_out_of_memory(error):
        return (
            "Out of memory. Close other programs, or go on where there is more of it: run the same command again, and "
            "finished stages are kept. A smaller --limit (texts per language) needs less, and starts over."
        )
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory, of the machine or of a device, did not suffice."""
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text.lower() or "not enough memory" in text or "can't allocate memory" in text
    )
