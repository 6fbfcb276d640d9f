"""What stands before gradio: which requests come in, how large and how slow they may be, and what no answer lacks.

gradio has far more addresses than the page needs: some fetch any address, keep a session on disk, or let a cancelled
call give its place to another one while it still runs. Those that are not in `_OPEN` do not exist here. A request is
passed on when it is whole, so one that stops halfway ends after `SECONDS`; where its very head is not whole,
`upkeep.end_idle_connections` ends it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

SECONDS = 30.0  # in which a request has to be whole
BODY = 6_000_000  # bytes: a million characters of documents, or one uploaded file
_UPLOADED = 500_000_000  # bytes of all files uploaded within an hour; none counts for less than 100 kB
_VALUES, _DEPTH = 20_000, 30  # of the JSON of a call
_HOUR = 3600.0
_HASH = 64  # characters of the name that a browser gives its session
_API = "/gradio_api"
_OPEN = re.compile(
    r"/|/preview\.png|/config/?|/(assets|static|svelte)/.*|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json"
    rf"|{_API}/(info|startup-events|openapi\.json|upload|upload_progress|app_id|theme\.css)/?"
    rf"|{_API}/queue/(join|data|status)|{_API}/heartbeat/[^/]{{1,{_HASH}}}"
    rf"|{_API}/(run|api)/[^/]+/?|{_API}/call/(v2/)?[^/]+(/[^/]+)?|{_API}/mcp(/.*)?|{_API}/file=.*"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'self' https://huggingface.co https://*.hf.space",
}


class _RefusedRequestError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Gate:
    """The outermost part of the page: passes on what the page needs and answers everything else with a sentence.

    `check` gets what a call says: the name in the address, or "", and the values. It returns what is wrong with it.
    """

    def __init__(self, app: ASGIApp, uploads: Path, check: Callable[[str, dict[str, Any]], str | None]) -> None:
        self.app, self.uploads, self.check = app, uploads, check
        self._uploaded: deque[tuple[float, int]] = deque()  # when, and how many bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks over web sockets
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            body = await self._read(scope, receive)
            await self.app(scope, _replay(body, receive), send_with_headers)
        except _RefusedRequestError as refusal:
            answer = PlainTextResponse(str(refusal), refusal.status, {"Connection": "close"})
            await answer(scope, receive, send_with_headers)
        except Exception as error:  # gradio raises bare exceptions for requests that it does not understand
            log.warning("A request to %s failed: %r", scope["path"], error)
            if started:
                await send({"type": "http.response.body"})
            else:
                answer = PlainTextResponse("This request could not be understood.", 400)
                await answer(scope, receive, send_with_headers)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        """Return the body as it is passed on; that of a call is checked, and halves of characters are replaced."""
        before, is_file, file = scope["path"].partition("/file=")
        if not _OPEN.fullmatch(scope["path"]) or (is_file and before == _API and not self._is_upload(file)):
            raise _RefusedRequestError(404, "There is no such address here.")
        body, path = await _read_body(receive), scope["path"].rstrip("/")
        if path.endswith("/upload"):
            self._count_upload(len(body))
        if scope["method"] != "POST" or path.endswith("/upload"):
            return body
        try:
            said = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise _RefusedRequestError(400, "Expected JSON, with numbers and nesting of a usual size.") from error
        self._check_values(said)
        if not path.startswith(f"{_API}/mcp"):
            if not isinstance(said, dict):
                raise _RefusedRequestError(400, 'Expected an object of JSON, such as {"data": []}.')
            named = re.fullmatch(rf"{_API}/(?:run|api|call|call/v2)/([^/]+)", path)
            call = {"data": said} if "/call/v2/" in path else said
            if problem := self.check(named[1] if named else "", call):
                raise _RefusedRequestError(400, problem)
        return json.dumps(said, ensure_ascii=False).encode("utf-8", "replace")

    def _count_upload(self, size: int) -> None:
        now = time.monotonic()
        while self._uploaded and now - self._uploaded[0][0] > _HOUR:
            self._uploaded.popleft()
        self._uploaded.append((now, max(size, 100_000)))
        if sum(size for _, size in self._uploaded) > _UPLOADED:
            self._uploaded.pop()
            raise _RefusedRequestError(
                503, "Too many files were uploaded lately. Paste the text, or try again in an hour."
            )

    def _check_values(self, said: Any) -> None:
        waiting, seen = [(said, 0)], 0
        while waiting:
            value, depth = waiting.pop()
            seen += 1
            if depth > _DEPTH or seen + len(waiting) > _VALUES:
                raise _RefusedRequestError(400, f"Expected at most {_VALUES:,} values, nested at most {_DEPTH} deep.")
            if isinstance(value, float) and not math.isfinite(value):
                raise _RefusedRequestError(400, "Expected numbers that are finite.")
            if isinstance(value, dict):
                if "path" in value:
                    self._check_file(value)
                if len(str(value.get("session_hash") or "")) > _HASH:
                    raise _RefusedRequestError(400, f"session_hash: expected at most {_HASH} characters.")
                waiting += [(part, depth + 1) for part in value.values()]
            elif isinstance(value, list):
                waiting += [(part, depth + 1) for part in value]

    def _check_file(self, file: dict[str, Any]) -> None:
        """Make sure that a file was uploaded, and leave only what says which one it is."""
        if file.get("meta") != {"_type": "gradio.FileData"} or not self._is_upload(file["path"]):
            raise _RefusedRequestError(400, f"A file has to be uploaded first, to {_API}/upload.")
        for key in file.keys() - {"path", "meta"}:
            del file[key]

    def _is_upload(self, path: Any) -> bool:
        try:
            return isinstance(path, str) and Path(path).resolve().is_relative_to(self.uploads.resolve())
        except (OSError, ValueError, RuntimeError):  # too long, zero bytes
            return False


async def _read_body(receive: Receive) -> bytes:
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _RefusedRequestError(400, "The request ended before it was whole.")
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > BODY:
                    raise _RefusedRequestError(
                        413, f"The request is larger than {BODY:,} bytes, the maximum allowed size."
                    )
    except TimeoutError as error:
        raise _RefusedRequestError(408, f"The request was not whole after {SECONDS:g} seconds.") from error
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body once, and after it waits for the end of the connection."""
    waiting = [body]

    async def replayed() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replayed
