"""What others show of a link to the page."""

from __future__ import annotations

import re
from dataclasses import replace

from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from hub_tools.reporting.link_picture import gains
from hub_tools.results import EvaluationRow, Figure
from hub_tools.space.content import SpaceContent
from hub_tools.space.preview import PICTURE, Preview, title_of
from tests.pictures import picture_size

GRADIO = """<!doctype html><html><head><meta property="og:title" content="Gradio" />
<meta
    property="og:image"
    content="https://gradio.app/x.jpg"
/><meta name="twitter:title" content="Gradio" /><meta charset="utf-8" /></head><body>ğ</body></html>"""


def client(content: SpaceContent) -> TestClient:
    app = Starlette(routes=[Route("/", lambda _: HTMLResponse(GRADIO))])
    return TestClient(Preview(app, content, "let own = 1;"))


def test_a_link_is_shown_with_the_pages_own_title_sentence_and_picture(content: SpaceContent) -> None:
    page = client(content).get("/").text
    assert "Gradio" not in page
    assert "gradio.app" not in page
    assert '<meta charset="utf-8" />' in page
    assert page.endswith("<body>ğ</body></html>")
    tags = dict(re.findall(r'<meta property="og:(\w+)" content="([^"]*)">', page))
    assert tags["title"] == title_of(content)
    assert "Turkish student of" in tags["title"]
    assert tags["image"] == f"http://testserver{PICTURE}"
    assert "fewer tokens" in tags["description"]
    assert page.count('rel="icon"') == 1


def test_the_picture_has_the_size_that_others_expect(content: SpaceContent) -> None:
    answer = client(content).get(PICTURE)
    assert answer.headers["content-type"] == "image/png"
    assert picture_size(answer.content) == (1200, 630)


def test_only_what_was_gained_is_said(content: SpaceContent) -> None:
    report = content.report
    worse = {name: dict(report.tokenizer.measures["tr"]["teacher"]) for name in ("teacher", "student")}
    tokenizer = replace(report.tokenizer, measures={"tr": worse})
    assert gains(replace(report, tokenizer=tokenizer, evaluation=[], costs={})) == []
    found = {"teacher": Figure(value=0.1), "student": Figure(value=0.4)}
    row = EvaluationRow(task="retrieval", split="test", metric="recall@1", n=60, models=found)
    better = replace(report, tokenizer=tokenizer, evaluation=[row], costs={})
    assert gains(better) == ["right passage found first: 10% → 40% of 60 questions"]
