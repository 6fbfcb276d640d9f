"""What the Hub refused, as sentences: the status of its answer, or the exception of its client."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from json import JSONDecodeError
from types import FrameType

from hub_tools.core.errors import HubToolsError, UserError


def explain_hub(error: BaseException, subject: str) -> str | None:
    """Return the sentence for a failed Hub request, or None when the exception has nothing to do with the Hub.

    `subject` is what was asked for, as the user wrote it, e.g. ``teacher 'org/model'``.
    """
    # What the Hub answered says more than what the client made of it.
    for cause in sorted(_causes(error), key=lambda cause: getattr(cause, "response", None) is None):
        # The most specific class counts: a gated repo is also one that was not found, and that an error of HTTP.
        for name in (kind.__name__ for kind in type(cause).__mro__):
            if name == "HfHubHTTPError":
                return _explain_status(cause, subject)
            if name in SENTENCES:
                return SENTENCES[name].format(subject=subject, detail=_first_line(cause))
    if _was_raised_in("xet_get", error):
        return (
            f"The download of large files of {subject} broke off. Run the same command again: files that are whole are "
            "kept. HF_HUB_DISABLE_XET=1 takes another way to the same files."
        )
    if isinstance(error, _NOT_UNDERSTOOD) and _was_raised_below("huggingface_hub", error):
        return (
            f"The Hub gave an answer for {subject} that huggingface_hub cannot read ({type(error).__name__}: "
            f"{_first_line(error)}). Run the same command again later; nothing is lost."
        )
    return None


@contextmanager
def hub_errors(subject: str, otherwise: str | None = None, *, writing: bool = False) -> Iterator[None]:
    """Raise what the Hub refused as a UserError (`explain_hub`, or `explain_push` if something is written to it).

    `otherwise` is what to say before the text of any other exception; None lets these pass.
    """
    try:
        yield
    except (HubToolsError, MemoryError):
        raise
    except Exception as error:
        message = (explain_push if writing else explain_hub)(error, subject)
        if message is None and otherwise is None:
            raise
        raise UserError(message or f"{otherwise}: {without_secrets(str(error))}") from error


def explain_push(error: BaseException, subject: str) -> str | None:
    """Return the sentence for a failed write to the Hub; arguments as for `explain_hub`."""
    names = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    if "RepositoryNotFoundError" in names:
        return f"The Hub shows your token no {subject}: it does not exist, or the token may not read it."
    connection_broke, moves_files = not names.isdisjoint(_NO_CONNECTION), _was_raised_in("_upload_xet_files", error)
    message = explain_hub(error, subject)
    if moves_files and (connection_broke or message is None):
        broken = f"The upload of large files to the {subject} broke off."
    elif connection_broke:
        broken = f"The connection to the Hub broke off for {subject}."
    else:
        return message
    return (
        f"{broken} Run the same command again: what was uploaded is kept, and the repo shows nothing of a push that "
        "did not end."
    )


def _was_raised_in(function: str, error: BaseException) -> bool:
    """Return whether a function raised an error: hf_xet, which moves large files, raises plain errors of Python."""
    return any(frame.f_code.co_name == function for frame in _frames(error))


def _was_raised_below(package: str, error: BaseException) -> bool:
    """Return whether a package, or what it called, raised an error."""
    return any(str(frame.f_globals.get("__name__")).startswith(package) for frame in _frames(error))


def _frames(error: BaseException) -> Iterator[FrameType]:
    return (frame for cause in _causes(error) for frame, _ in traceback.walk_tb(cause.__traceback__))


_NO_HUB = (
    "Could not reach the Hub for {subject}, and it is not in the local cache. Check the network (and that "
    "HF_HUB_OFFLINE is not set) and run the same command again, or give a local folder."
)
# What huggingface_hub raises for an answer that has another form than it expects.
_NOT_UNDERSTOOD = (KeyError, JSONDecodeError, TypeError, AttributeError)
# Names of the exceptions of a connection that broke off.
_NO_CONNECTION = ("TransportError", "ConnectionError")
# Class of the exception -> what happened and what to do; {detail} is the exception's first line. The names are those of
# huggingface_hub, and of its HTTP library, which changed between versions.
SENTENCES = {
    "GatedRepoError": "No access to the gated {subject}: open its page on the Hub, accept the terms, then log in with "
    "`hf auth login` and run the same command again.",
    "RepositoryNotFoundError": "The Hub knows no {subject}. Expected a Hub id such as google/embeddinggemma-300m or a "
    "folder; check the spelling, or log in with `hf auth login` if it is private.",
    "RevisionNotFoundError": "No such revision of {subject}. Expected a branch, tag or commit after the @.",
    "HFValidationError": "Not a folder here and not a Hub id: {subject}. Expected a folder, or an id like org/name.",
    "LocalEntryNotFoundError": _NO_HUB,
    "OfflineModeIsEnabled": _NO_HUB,
    **dict.fromkeys(_NO_CONNECTION, _NO_HUB),
    "LocalTokenNotFoundError": "Not logged in, and {subject} needs it. Run `hf auth login` first, or set HF_TOKEN.",
    "OIDCError": "The Hub gave no short-lived token for {subject}: {detail}",
}
# Status -> what happened and what to do; {detail} is what the Hub said.
STATUS = {
    401: "The Hub does not accept your token for {subject}. Log in again with `hf auth login`; HF_TOKEN, where it is "
    "set, comes first.",
    402: "The Hub wants a paid plan for {subject}: {detail}",
    403: "Your token is not allowed to do this with {subject}: {detail} Use a token with write access to it (a "
    "fine-grained token needs `repo.write` on the repo, or on the namespace to create it): https://huggingface.co/settings/tokens.",
    409: "{subject} is in the way of what was asked: {detail}",
    412: "{subject} was changed by someone else during the upload, so nothing was changed. Run the same command again.",
    413: "{subject} is too large for the Hub: {detail} Publish less at a time (--only), or lower --distill-limit.",
    429: "The Hub's rate limit is reached for {subject}.{wait} Run the same command again then; nothing is lost.",
}
TROUBLE = "The Hub is in trouble (status {status}) with {subject}. Run the same command again later; nothing is lost."
OTHER_STATUS = "The Hub refused {subject} (status {status}): {detail} Nothing is lost."


def is_unreachable(error: BaseException) -> bool:
    """Whether something failed because the Hub could not be asked."""
    names = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    return not names.isdisjoint((*_NO_CONNECTION, "OfflineModeIsEnabled"))


def _explain_status(error: BaseException, subject: str) -> str:
    response = getattr(error, "response", None)
    if response is None:
        return f"The Hub refused {subject}: {_first_line(error)}"
    status = response.status_code
    detail = without_secrets(getattr(error, "server_message", None) or _first_line(error)).rstrip(".") + "."
    seconds = response.headers.get("Retry-After") or ""
    wait = f" It asks to wait {seconds} seconds." if seconds.isdigit() else ""
    other = TROUBLE if status >= HTTPStatus.INTERNAL_SERVER_ERROR else OTHER_STATUS
    sentence = STATUS.get(status, other).format(subject=subject, status=status, detail=detail, wait=wait)
    return sentence[0].upper() + sentence[1:]


def _first_line(error: BaseException) -> str:
    lines = without_secrets(str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def without_secrets(text: str) -> str:
    """Return a text without tokens, and without the signatures of addresses, which are as good as passwords."""
    return re.sub(r"\bhf_[\w.-]+", "hf_***", re.sub(r"(https?://[^\s?]+)\?\S+", r"\1", text))


def _causes(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
