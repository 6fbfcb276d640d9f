"""What visitors of a Space see while it still makes the model that it shows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from hub_tools.space.i18n import LANGUAGES, translate

_PORT = 7860  # gradio's
_SECONDS = 5  # until the browser asks again


@contextmanager
def waiting_page() -> Iterator[None]:
    """Say where the page will be that it is not ready yet, until the end of a `with` block.

    Host and port are gradio's; nothing is said where another program has them.
    """
    address = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), int(os.environ.get("GRADIO_SERVER_PORT", _PORT))
    try:
        server = ThreadingHTTPServer(address, _Waiting)
    except OSError:
        yield
        return
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _content() -> bytes:
    said = "".join(f'<p lang="{lang}">{escape(translate(lang, "waiting"))}</p>' for lang in LANGUAGES)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="{_SECONDS}">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        "<title>hub_tools</title><style>body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 40rem; "
        f"margin: 15vh auto; padding: 0 1rem }}</style><h1>hub_tools</h1>{said}</html>"
    ).encode()


class _Waiting(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = _content()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: what the run says is what the owner wants to read."""
