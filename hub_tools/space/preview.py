"""What others show of a link to the page: its title, a sentence, and a picture, instead of gradio's."""

from __future__ import annotations

import os
import re
from functools import cached_property
from html import escape

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub_tools.core.languages import names_of
from hub_tools.reporting.link_picture import draw_link_picture, gains
from hub_tools.space.content import SpaceContent

PICTURE = "/preview.png"
_GRADIO = re.compile(rb'<meta\s[^>]*?(?:property="og:|name="twitter:)[^>]*?>')
_ICON = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 100 100'>"
    "<text y='.9em' font-size='90'>✂️</text></svg>"
)


def title_of(content: SpaceContent) -> str:
    """Return what the page is called: Turkish student of all-MiniLM-L6-v2."""
    teacher = content.titles.get("teacher")
    language = names_of(content.report.targets)
    return f"{language} student of {teacher}" if teacher else f"{content.titles['student']}: a {language} student"


class Preview:
    """Stands before gradio: the page with metadata of its own, the picture that they name, and a script.

    What gradio's own option puts into the head runs only after gradio chose the language.
    """

    def __init__(self, app: ASGIApp, content: SpaceContent, script: str) -> None:
        self.app, self.content, self.script = app, content, script

    @cached_property
    def picture(self) -> bytes:
        """The picture, PNG of 1200 x 630."""
        return draw_link_picture(title_of(self.content), gains(self.content.report))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["path"] not in {"/", PICTURE}:
            await self.app(scope, receive, send)
        elif scope["path"] == PICTURE:
            await Response(self.picture, media_type="image/png")(scope, receive, send)
        else:
            await self._page(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))

        await self.app(scope, receive, collect)
        page = _GRADIO.sub(b"", bytes(body)).replace(b"<head>", b"<head>" + self._tags(scope).encode(), 1)
        if scope["method"] == "GET":
            MutableHeaders(scope=start)["content-length"] = str(len(page))
        await send(start)
        await send({"type": "http.response.body", "body": page})

    def _tags(self, scope: Scope) -> str:
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        address = f"https://{space}" if (space := os.environ.get("SPACE_HOST")) else f"{scope['scheme']}://{host}"
        title = title_of(self.content)
        about = ". ".join(said[0].upper() + said[1:] for said in gains(self.content.report))
        tags = {
            "og:type": "website",
            "og:title": title,
            "og:description": about or "Teacher and student side by side: tokens, search, similarity, results.",
            "og:image": address + PICTURE,
            "og:url": f"{address}/",
            "twitter:card": "summary_large_image",
        }
        written = "".join(
            f'<meta {"name" if key.startswith("twitter") else "property"}="{key}" content="{escape(value)}">'
            for key, value in tags.items()
        )
        written += f'<meta name="description" content="{escape(about)}"><link rel="icon" href="{escape(_ICON)}">'
        return f"{written}<script>\n{self.script}</script>"
