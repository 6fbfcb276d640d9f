"""What a page that runs for months has to let go of, at regular times: connections, answers, uploaded files."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import gradio as gr
from anyio.to_thread import run_sync

from hub_tools.space.gate import SECONDS

UPLOADS = (300, 3000)  # seconds between two looks at uploaded files, and after which they are deleted: within the hour
_UNREAD = 50  # answers that nobody fetched yet


def upkeep(page: gr.Blocks, uploads: Path) -> Callable[[object], AbstractAsyncContextManager[None]]:
    """Return the life of the page's server, at whose end the uploaded files are gone."""

    @asynccontextmanager
    async def life(_: object) -> AsyncGenerator[None]:
        work = (end_idle_connections(page), forget_unread(page), delete_uploads(uploads, *UPLOADS))
        tasks = [asyncio.create_task(one) for one in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            shutil.rmtree(uploads, ignore_errors=True)

    return life


async def end_idle_connections(page: gr.Blocks) -> None:
    """End connections that began a request and did not send its head for `SECONDS`; the gate ends those after it.

    Connections between two requests end earlier by themselves.
    """
    before: set[object] = set()
    while True:
        await asyncio.sleep(SECONDS)
        # With the request that was answered last: after another one, it is not the same idleness.
        idle = {
            (connection, cycle)
            for connection in page.server.server_state.connections
            if (cycle := getattr(connection, "cycle", None)) is None or cycle.response_complete
        }
        for connection, _ in idle & before:
            connection.transport.close()
        before = set(idle)


async def forget_unread(page: gr.Blocks) -> None:
    """Forget answers to calls that ended and that nobody fetches, but for the last ones: gradio keeps 2,000."""
    queue, before = page._queue, set[str]()
    while True:
        await asyncio.sleep(1)
        busy = {event.session_hash for event in queue.event_ids_to_events.values()}
        idle = [session for session in queue.pending_event_ids_session if session not in busy]
        for session in [session for session in idle if session in before][:-_UNREAD]:
            queue.pending_event_ids_session.pop(session, None)
            queue.pending_messages_per_session.pop(session, None)
        before = set(idle)


async def delete_uploads(folder: Path, every: float, age: float) -> None:
    """Delete what is in a folder and older than `age` seconds, every so many seconds."""

    def delete() -> None:
        for path in sorted(folder.rglob("*"), reverse=True):
            with suppress(OSError):  # a folder that is not empty, or gone meanwhile
                if time.time() - path.lstat().st_mtime > age:
                    path.rmdir() if path.is_dir() else path.unlink()

    while True:
        await asyncio.sleep(every)
        await run_sync(delete)
