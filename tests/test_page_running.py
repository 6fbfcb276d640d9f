"""What a visitor cannot do to a page that runs: addresses, calls and bodies of any kind, memory, disk and time."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub_tools.config import RunConfig
from hub_tools.space import upkeep
from tests.commands import CANARY
from tests.conftest import HUB_SERVER
from tests.page_server import DIARY, Page, add_dataset, open_page

# -- the running page


@pytest.fixture(scope="module")
def server(finished: tuple[RunConfig, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of little patience, on which uploaded files live for seconds."""
    hub = HUB_SERVER.start_over(cas=tmp_path_factory.mktemp("cas"))
    folder = tmp_path_factory.mktemp("page")
    (folder / "diary.txt").write_text(DIARY)
    add_dataset(hub, folder / "public")
    patience = "gate.SECONDS = upkeep.SECONDS = 3; upkeep.UPLOADS = (1, 3)"
    with open_page(
        finished[0].output, folder, before=patience, cwd=folder, HF_HUB_OFFLINE="0", HF_TOKEN=CANARY
    ) as page:
        yield page


@pytest.fixture
def visitor(server: Page) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.address}gradio_api/", timeout=120) as client:
        yield client


def call(visitor: httpx.Client, name: str, data: Any) -> str:
    """What a call of the API without a session answers."""
    body = json.dumps({"data": data})
    joined = visitor.post(f"call/{name}", content=body, headers={"Content-Type": "application/json"})
    if joined.status_code != 200:
        return joined.text
    return visitor.get(f"call/{name}/{joined.json()['event_id']}").text


@pytest.mark.parametrize("address", ["", "config", "gradio_api/info", "assets/none.js", "nothing", "gradio_api/upload"])
def test_every_answer_says_who_may_frame_it(server: Page, address: str) -> None:
    headers = httpx.get(server.address + address).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    expected = "frame-ancestors 'self' https://huggingface.co https://*.hf.space"
    assert headers["Content-Security-Policy"] == expected


def test_addresses_that_fetch_keep_or_tell_more_do_not_exist(server: Page, inside: tuple[str, list[str]]) -> None:
    address, asked = inside
    for path in (
        f"file={address}/x",
        f"file/{address}/x",
        f"proxy={address}/x",
        "file=/etc/hostname",
        f"file={server.log.parent}/diary.txt",
        "file=diary.txt",
        "deep_link?session_hash=a",
        "cancel",  # the place of a cancelled call would be free while its process runs
        "runs",
        "run-history/buckets",
        "dev/reload",
        "component_server",
        "process_recording",
        "stream/a/close",
        "custom_component/a/client/b/c",
    ):
        for method in ("GET", "POST"):
            answer = httpx.request(method, f"{server.address}gradio_api/{path}")
            assert (answer.status_code, DIARY in answer.text) in {(404, False), (405, False)}, path
    for path in ("docs", "openapi.json", "monitoring", "login", "dev/reload", "pwa_icon", "gradio_api"):
        assert httpx.get(server.address + path).status_code == 404, path
    assert asked == []


def test_files_of_other_places_are_taken_by_no_function(
    server: Page, visitor: httpx.Client, inside: tuple[str, list[str]]
) -> None:
    address, asked = inside
    numbers = [d["id"] for d in httpx.get(f"{server.address}config").json()["dependencies"] if d["inputs"]]
    for path in (
        f"{address}/x.txt",
        "/etc/hostname",
        str(server.log.parent / "diary.txt"),
        "diary.txt",
        "\0",
        "a" * 5000,
    ):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        for data in ([file], [{"path": path}], [[{"a": file}]]):
            assert "has to be uploaded first" in call(visitor, "search_documents", data)
            for number in numbers:
                body = {"data": data, "fn_index": number, "session_hash": "a"}
                assert "has to be uploaded first" in visitor.post("queue/join", json=body).text
    assert asked == []


def test_a_visitor_reads_the_hub_and_nothing_beside_the_page(visitor: httpx.Client) -> None:
    assert "a public text" in call(visitor, "read_dataset", ["bob/texts", "", "train", ""])
    for name in ("text", "diary.txt", "."):
        answer = call(visitor, "read_dataset", [name, "", "train", ""])
        assert "is not a Hub id" in answer
        assert DIARY not in answer


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("compare_tokenizers", [5, "teacher", "student"], "text: expected a text, got 5."),
        ("compare_tokenizers", ["a", None, "student"], "first: expected a text, got null."),
        ("compare_tokenizers", ["a"], "Expected 3 values (text, first, second), got 1."),
        (
            "search_documents",
            ["a", "passages", None, "8", "float32", 5],
            r"dimension: expected a whole number, got \"8\"",
        ),
        ("search_documents", ["a", "passages", None, 0, "float32", True], "top: expected a whole number, got true."),
        ("search_documents", ["a", "passages", [1], 0, "float32", 5], "documents: expected a list of texts or null"),
        ("search_documents", ["a", "\ud800", None, 0, "float32", 5], "? is not one of"),
        ("search_documents", ["a", "passages", None, 10**400, "float32", -5], "event: complete"),
        ("compare_sentences", ["ab"], "sentences: expected a list of texts"),
        ("map_corpus", [{}, None], "corpus: expected a text, got {}."),
        ("read_dataset", ["\ud800/x", "", "train", ""], "is not a Hub id"),
        ("read_dataset", ["bob/texts@main", "", "train", ""], "is not a Hub id"),
        ("read_dataset", ["bob/..", "", "train", ""], "is not a Hub id"),
        ("read_dataset", ["bob/téxts", "", "train", ""], "is not a Hub id"),
        ("write_command", ["a/b", "klingon" * 100_000, 9000], "Unknown language code"),
        ("write_command", ["a/b", "tr", 9000.5], "vocabulary: expected a whole number, got 9000.5."),
        ("write_command", ["a/b", "tr", 10**300], "Expected a vocabulary of"),
        ("nothing", [], "no such function"),
    ],
)
def test_a_call_says_which_field_is_wrong(visitor: httpx.Client, name: str, data: list[Any], words: str) -> None:
    assert words in call(visitor, name, data)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"data": 5}',
        b'{"data": [1e999, "a", "b"]}',
        b'{"data": [NaN, "a", "b"]}',
        b'{"data": [' + b"9" * 5_000 + b', "a", "b"]}',
        b'{"data": [' + b"[" * 100 + b"]" * 100 + b', "a", "b"]}',
        b'{"data": ' + b"[" * 100_000,
        b'{"data": [' + b"1," * 100_000 + b"1]}",
        b'{"data": ["' + b"a" * 7_000_000 + b'"]}',
        b'{"data": [], "session_hash": "' + b"a" * 100_000 + b'", "fn_index": 1}',
        b'{"data": [], "session_hash": "a", "fn_index": 123456}',
        b'{"data": [], "session_hash": "a", "fn_index": [1]}',
    ],
)
def test_a_body_that_is_no_call_gets_a_sentence(server: Page, visitor: httpx.Client, body: bytes) -> None:
    before = server.log.read_text().count("Traceback")
    for address in ("call/compare_tokenizers", "call/v2/compare_tokenizers", "queue/join"):
        answer = visitor.post(address, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in {400, 413, 422}, address
        assert len(answer.text) > 20
    assert server.log.read_text().count("Traceback") == before


def test_values_of_any_type_are_answered_by_every_function_of_the_page(server: Page, visitor: httpx.Client) -> None:
    before = server.log.read_text()
    values = (None, 5, -1, 1.5, "x", "\ud800", True, [], ["a"], {}, {"path": "/etc/hostname"})
    for function in httpx.get(f"{server.address}config").json()["dependencies"]:
        if not function["backend_fn"]:
            continue
        for number, value in enumerate(values):
            session = f"{function['id']}-{number}"
            body = {"data": [value] * len(function["inputs"]), "fn_index": function["id"], "session_hash": session}
            joined = visitor.post("queue/join", content=json.dumps(body), headers={"Content-Type": "application/json"})
            if joined.status_code == 200:
                said = visitor.get("queue/data", params={"session_hash": session}).text
                assert "process_completed" in said
                assert '"error":null' not in said, (function["api_name"], value)
            else:
                assert joined.status_code == 400
    said = server.log.read_text().removeprefix(before)
    assert "A call failed" not in said
    # gradio notes a choice that its page does not offer, and answers with the choices.
    assert len(re.findall("^Traceback", said, re.MULTILINE)) == len(re.findall("is not in the list of choices", said))


# -- what it costs


def wait_for_end(server: Page, beginning: bytes, *, drip: bytes = b"") -> float:
    """Seconds after which the page ends a connection on which a request stops halfway."""
    port = int(server.address.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(beginning)
        connection.settimeout(0.5)
        start = time.monotonic()
        while time.monotonic() - start < 60:
            try:
                if not connection.recv(10_000):
                    break
            except TimeoutError:
                try:
                    connection.sendall(drip)
                except OSError:
                    break
            except OSError:
                break
        return time.monotonic() - start


def test_requests_that_stop_halfway_are_ended(server: Page) -> None:
    post = b"POST /gradio_api/%s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\nContent-Type: %s\r\n\r\n"
    multipart = b"multipart/form-data; boundary=x"
    with ThreadPoolExecutor(8) as threads:
        waits = [
            threads.submit(wait_for_end, server, b""),
            threads.submit(wait_for_end, server, b"GET / HTTP/1.1\r\nHost: a\r\n"),
            threads.submit(wait_for_end, server, b"GET / HTTP/1.1\r\nHost: a\r\n", drip=b"X: y\r\n"),
            threads.submit(wait_for_end, server, b"GET /robots.txt HTTP/1.1\r\nHost: a\r\n\r\n", drip=b"GET"),
            threads.submit(wait_for_end, server, post % (b"call/write_command", b"application/json") + b"{"),
            threads.submit(wait_for_end, server, post % (b"queue/join", b"application/json"), drip=b" "),
            threads.submit(wait_for_end, server, post % (b"upload", multipart) + b"--x\r\n", drip=b"-"),
        ]
    assert [wait.result() for wait in waits if wait.result() > 15] == []


def flood(server: Page, visitor: httpx.Client, calls: int) -> list[float]:
    """Memory in MB after each 300 calls without a session; every second answer is not fetched."""

    def one(number: int) -> None:
        name, data = (
            ("read_results", []),
            ("write_command", ["a/b", "tr", 9000]),
            ("compare_tokenizers", [f"{number} deneme " * 50, "teacher", "student"]),
        )[number % 3]
        while (joined := visitor.post(f"call/{name}", json={"data": data})).status_code == 503:
            time.sleep(0.1)
        assert joined.status_code == 200
        if number % 2:
            visitor.get(f"call/{name}/{joined.json()['event_id']}").read()

    assert "complete" in call(
        visitor, "search_documents", ["arı", "passages", None, 0, "float32", 5]
    )  # models are loaded
    held = []
    with ThreadPoolExecutor(4) as threads:
        for first in range(0, calls, 300):
            list(threads.map(one, range(first, first + 300)))
            held.append(server.megabytes())
    return held


def test_calls_without_a_session_leave_no_memory_behind(server: Page, visitor: httpx.Client) -> None:
    first, *others = flood(server, visitor, 600)
    assert max(others) - first < 30  # 80 with all sessions kept


@pytest.mark.slow
def test_three_thousand_calls_without_a_session_need_no_more_memory_than_three_hundred(
    server: Page, visitor: httpx.Client
) -> None:
    first, *others = flood(server, visitor, 3_000)
    assert len(others) == 9
    assert max(others) - first < 50


def uploads(server: Page) -> list[Path]:
    return [
        file for folder in server.log.parent.glob("hub-tools-page-*") for file in folder.rglob("*") if file.is_file()
    ]


def test_uploaded_files_are_gone_within_the_hour(server: Page, visitor: httpx.Client) -> None:
    assert sum(upkeep.UPLOADS) <= 3600
    for name in ("files", "others"):  # gradio forgets files of other names at once, and keeps them
        visitor.post("upload", files={name: ("a.txt", DIARY.encode())})
    assert DIARY in [file.read_text() for file in uploads(server)]
    end = time.monotonic() + 30
    while uploads(server) and time.monotonic() < end:
        time.sleep(0.2)
    assert uploads(server) == []


def test_uploads_do_not_fill_the_disk_and_are_gone_with_the_page(
    finished: tuple[RunConfig, Any], tmp_path: Path
) -> None:
    with open_page(finished[0].output, tmp_path, before="gate._UPLOADED = 250_000; gate._HOUR = 5") as page:

        def upload() -> tuple[int, str]:
            answer = httpx.post(f"{page.address}gradio_api/upload", files={"files": ("a.txt", b"a")})
            return answer.status_code, answer.text

        assert [upload()[0] for _ in range(2)] == [200, 200]
        assert upload() == (503, "Too many files were uploaded lately. Paste the text, or try again in an hour.")
        time.sleep(5.5)
        assert upload()[0] == 200
        assert uploads(page)
    assert list(tmp_path.glob("hub-tools-page-*")) == []


def test_the_page_kept_no_secret_and_had_no_defect(server: Page) -> None:
    log = server.log.read_text()
    assert CANARY not in log
    assert "OUTGOING" not in log
    assert "ASGI" not in log
    assert os.environ["HF_HOME"] not in log
