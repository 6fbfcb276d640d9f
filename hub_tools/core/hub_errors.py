"""What the Hub refused, as sentences: the status of its answer, or the exception of its client."""

from __future__ import annotations

import re
from http import HTTPStatus


def explain_hub(error: BaseException, what: str) -> str | None:
    """Return the sentence for a failed Hub request.

    Args:
        error: the exception of huggingface_hub, datasets or the HTTP client.
        what: what was asked for, as the user wrote it, e.g. ``teacher 'org/model'``.

    Returns:
        The message, or None when the exception has nothing to do with the Hub.
    """
    # What the Hub answered says more than what the client made of it.
    for cause in sorted(_causes(error), key=lambda cause: getattr(cause, "response", None) is None):
        message = _explain_cause(cause, what)
        if message is not None:
            return message
    if _was_raised_in("xet_get", error):
        return (
            f"The download of large files of {what} broke off. Run the same command again: files that are whole are "
            "kept. HF_HUB_DISABLE_XET=1 takes another way to the same files."
        )
    return None


def _was_raised_in(function: str, error: BaseException) -> bool:
    """Return whether a function raised an error: hf_xet, which moves large files, raises plain errors of Python."""
    for cause in _causes(error):
        trace = cause.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_name == function:
                return True
            trace = trace.tb_next
    return False


def explain_push(error: BaseException, what: str) -> str | None:
    """Return the sentence for a failed write to the Hub; arguments as for `explain_hub`."""
    from huggingface_hub import errors as hub

    causes = _causes(error)
    if any(isinstance(cause, hub.RepositoryNotFoundError) for cause in causes):
        return f"The Hub shows your token no {what}: it does not exist, or the token may not read it."
    broken, moves_files = any(map(_is_broken_line, causes)), _was_raised_in("_upload_xet_files", error)
    if broken and not moves_files:
        return (
            f"The connection to the Hub broke off for {what}. Run the same command again: files that were uploaded are "
            "kept, and the repo shows nothing of a push that did not end."
        )
    message = explain_hub(error, what)
    if moves_files and (message is None or broken):
        return (
            f"The upload of large files to the {what} broke off. Run the same command again: what was uploaded is "
            "kept, and the repo shows nothing of a push that did not end."
        )
    return message


def _is_broken_line(error: BaseException) -> bool:
    return any(kind.__name__ in ("TransportError", "ConnectionError") for kind in type(error).__mro__)


def _explain_cause(error: BaseException, what: str) -> str | None:
    # The most specific class counts: a gated repo is also one that was not found, and that an error of HTTP.
    for name in (kind.__name__ for kind in type(error).__mro__):
        if name == "HfHubHTTPError":
            return _explain_status(error, what)
        if name in _SENTENCES:
            return _SENTENCES[name].format(what=what, detail=_first_line(error))
    return None


_NO_HUB = (
    "Could not reach the Hub for {what}, and it is not in the local cache. Check the network (and that HF_HUB_OFFLINE "
    "is not set) and run the same command again, or give a local folder."
)
# Class of the exception -> what happened and what to do; {what} is the repo, {detail} the exception's first line. The
# names are those of huggingface_hub, and of its HTTP library, which changed between versions.
_SENTENCES = {
    "GatedRepoError": "No access to the gated {what}: open its page on the Hub, accept the terms, then log in with "
    "`hf auth login` and run the same command again.",
    "RepositoryNotFoundError": "The Hub knows no {what}. Expected a Hub id such as google/embeddinggemma-300m or a "
    "folder; check the spelling, or log in with `hf auth login` if it is private.",
    "RevisionNotFoundError": "No such revision of {what}. Expected a branch, tag or commit after the @.",
    "HFValidationError": "Not a folder here and not a Hub id: {what}. Expected a folder, or an id like org/name.",
    "LocalEntryNotFoundError": _NO_HUB,
    "OfflineModeIsEnabled": _NO_HUB,
    "TransportError": _NO_HUB,
    "ConnectionError": _NO_HUB,
    "LocalTokenNotFoundError": "Not logged in, and {what} needs it. Run `hf auth login` first, or set HF_TOKEN.",
    "OIDCError": "The Hub gave no short-lived token for {what}: {detail}",
}
# Status -> what happened and what to do; {what} is the repo, {detail} what the Hub said.
_STATUS = {
    401: "The Hub does not accept your token for {what}. Log in again with `hf auth login`; HF_TOKEN, where it is set, "
    "comes first.",
    402: "The Hub wants a paid plan for {what}: {detail}",
    403: "Your token is not allowed to do this with {what}: {detail} Use a token with write access to it (a "
    "fine-grained token needs `repo.write` on the repo, or on the namespace to create it): https://huggingface.co/settings/tokens.",
    409: "{what} is in the way of what was asked: {detail}",
    412: "{what} was changed by someone else during the upload, so nothing was changed. Run the same command again.",
    413: "{what} is too large for the Hub: {detail} Publish less at a time (--only), or lower --distill-limit.",
    429: "The Hub's rate limit is reached for {what}.{wait} Run the same command again then; nothing is lost.",
}
_SERVER_TROUBLE = (
    "The Hub is in trouble (status {status}) with {what}. Run the same command again later; nothing is lost."
)
_OTHER_STATUS = "The Hub refused {what} (status {status}): {detail} Nothing is lost."


def _explain_status(error: BaseException, what: str) -> str:
    response = getattr(error, "response", None)
    if response is None:
        return f"The Hub refused {what}: {_first_line(error)}"
    status = response.status_code
    again = response.headers.get("Retry-After")
    wait = f" It asks to wait {again} seconds." if again and again.isdigit() else ""
    template = _SERVER_TROUBLE if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _STATUS.get(status, _OTHER_STATUS)
    detail = without_secrets(getattr(error, "server_message", None) or _first_line(error)).rstrip(".") + "."
    sentence = template.format(what=what, status=status, detail=detail, wait=wait)
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
