"""What a user reads when something goes wrong: `explain` turns an exception into one clear sentence."""

from __future__ import annotations

import errno
import re

# What libraries say, in small letters, when they get no memory or, for want of it, no thread.
_MEMORY_SIGNS = (
    "out of memory",
    "not enough memory",
    "allocate memory",
    "failed to map segment",
    "start new thread",
    "resource temporarily unavailable",
)
# What is wrong with a path, or with the disk that it is on.
_OF_PATHS = (
    errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EROFS,
    errno.ENAMETOOLONG, errno.ELOOP, errno.EIO,
)  # fmt: skip


class HubToolsError(Exception):
    """Base of all errors that hub_tools raises on purpose; its text is meant for the user."""


class UserError(HubToolsError):
    """The input or an option cannot work; the message says what was expected and what to do."""


class UsageError(HubToolsError):
    """The command line or the configuration file is wrong (exit code 2)."""


def explain(error: BaseException) -> str | None:
    """Return the sentence for an exception; None stands for a defect of hub_tools, which deserves a traceback."""
    if isinstance(error, HubToolsError):
        return str(error)
    code, file = _code_of(error), getattr(error, "filename", None)
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        where = f" while writing {file}" if file else ""
        return (
            f"The disk is full, or a limit of size is reached{where}. Free some space and run the same command again: "
            "finished stages are kept. --limit makes every file smaller."
        )
    if code in _OF_PATHS:
        reason = getattr(error, "strerror", None) or str(error)
        return f"Could not use {file or 'a file'}: {reason}. Choose another path or change its permissions."
    if isinstance(error, FileNotFoundError):
        # pyarrow names the file in its text alone.
        return f"{error.filename}: there is no such file." if error.filename else f"{error.strerror or error}."
    if is_out_of_memory(error):
        return (
            "Out of memory. Close other programs, or go on where there is more of it: run the same command again, and "
            "finished stages are kept. A smaller --limit (texts per language) needs less, and starts over."
        )
    return None


def _code_of(error: BaseException) -> int | None:
    """Return the system's number of an error, also where a library in Rust or torch writes it into a text."""
    if isinstance(error, OSError):
        return error.errno
    if "inline_container" in str(error) and "unexpected pos" in str(error):  # torch.save could not write all
        return errno.ENOSPC
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory, of the machine or of a device, did not suffice."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # A library that could not be loaded into little memory, and a panic in Rust code, for which there is no class.
    says_why = isinstance(error, RuntimeError | ImportError) or type(error).__name__ == "PanicException"
    return isinstance(error, MemoryError) or (says_why and any(sign in str(error).lower() for sign in _MEMORY_SIGNS))
