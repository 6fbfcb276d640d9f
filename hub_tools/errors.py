"""What a user reads when something goes wrong: one table from exceptions to one clear sentence."""

from __future__ import annotations

import errno


class HubToolsError(Exception):
    """Base of all errors that hub_tools raises on purpose; its text is meant for the user."""


class UserError(HubToolsError):
    """The input or an option cannot work; the message says what was expected and how to mend it."""


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
    if _is_out_of_memory(error):
        return (
            "Out of memory. Lower --batch-tokens (now the memory of a step) or --limit (texts per language), "
            "then run the same command again: finished stages are kept."
        )
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text.lower() or "not enough memory" in text or "can't allocate memory" in text
    )


def explain_hub(error: BaseException, what: str) -> str | None:
    """The sentence for a failed Hub request.

    Args:
        error: the exception of huggingface_hub, datasets or the HTTP client.
        what: what was asked for, as the user wrote it, e.g. ``teacher 'org/model'``.

    Returns:
        The message, or None when the exception has nothing to do with the Hub.
    """
    for cause in _causes(error):
        message = _explain_hub_error(cause, what)
        if message is not None:
            return message
    return None


def _explain_hub_error(error: BaseException, what: str) -> str | None:
    from huggingface_hub import errors as hub

    sentences: list[tuple[type[BaseException] | tuple[type[BaseException], ...], str]] = [
        # A gated repo is also a RepositoryNotFoundError: it has to come first.
        (
            hub.GatedRepoError,
            f"No access to the gated {what}: open its page on the Hub, accept the terms, then log in with "
            "`hf auth login` and run the same command again.",
        ),
        (
            hub.RepositoryNotFoundError,
            f"The Hub knows no {what}. Expected a Hub id such as google/embeddinggemma-300m or a folder; check the "
            "spelling, or log in with `hf auth login` if it is private.",
        ),
        (hub.RevisionNotFoundError, f"No such revision of {what}. Expected a branch, tag or commit after the @."),
        (
            hub.HFValidationError,
            f"Not a folder here and not a Hub id: {what}. Expected a folder, or an id like org/name.",
        ),
        (
            (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, ConnectionError),
            f"Could not reach the Hub for {what}, and it is not in the local cache. Check the network (and that "
            "HF_HUB_OFFLINE is not set), or give a local folder.",
        ),
        (
            hub.HfHubHTTPError,
            f"The Hub refused {what}: {str(error).splitlines()[0] if str(error) else type(error).__name__}. Run the "
            "same command again later; nothing is lost.",
        ),
    ]
    # The HTTP library of huggingface_hub changed its name between versions; the name of its error did not.
    if any(kind.__name__ == "TransportError" for kind in type(error).__mro__):
        error = ConnectionError()
    return next((sentence for kind, sentence in sentences if isinstance(error, kind)), None)


def _causes(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
