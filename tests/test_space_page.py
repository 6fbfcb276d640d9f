"""The page itself: every function of its API by gradio_client, and every tab by a real browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub_tools.config import RunConfig
from tests.commands import finish
from tests.page_server import Page, needs_browser, open_page, visit


@pytest.fixture(scope="module")
def server(finished: tuple[RunConfig, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page that shows the finished run."""
    with open_page(finished[0].output, tmp_path_factory.mktemp("page"), HF_HUB_OFFLINE="1") as page:
        yield page


@pytest.fixture(scope="module")
def page(server: Page) -> str:
    """Its address."""
    return server.address


@pytest.fixture(scope="module")
def log(server: Page) -> Path:
    return server.log


# -- the API


@pytest.fixture(scope="module")
def client(page: str) -> Any:
    from gradio_client import Client

    return Client(page, verbose=False)


def test_the_api_has_the_functions_that_are_documented(client: Any) -> None:
    found = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    names = {
        "compare_tokenizers",
        "search_documents",
        "compare_sentences",
        "map_corpus",
        "read_dataset",
        "read_results",
        "write_command",
    }
    assert set(found) == {f"/{name}" for name in names}
    document = (Path(__file__).parents[1] / "docs/space.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in document] == []


def test_every_function_of_the_api_answers(client: Any) -> None:
    cut = client.predict("Kütüphane açık.", api_name="/compare_tokenizers")
    assert cut["first"]["count"] > cut["second"]["count"] > 0
    hits = client.predict("arı", documents=["arı balı", "tren"], top=1, precision="int8", api_name="/search_documents")
    assert hits["documents"] == 2
    assert [len(own["hits"]) for own in hits["models"].values()] == [1, 1]
    table = client.predict(["ev", "ev"], api_name="/compare_sentences")
    assert table["models"]["student"][0][1] == pytest.approx(1, abs=1e-3)
    maps = client.predict("passages", api_name="/map_corpus")
    assert len(maps["texts"]) == len(maps["models"]["teacher"]) == 120
    report = client.predict(api_name="/read_results")
    assert report["tokenizer"]["fertility"]["tr"]["student"] > 0
    command = client.predict("a/b", "tr", 9000, api_name="/write_command")
    assert command == "hub-distill --teacher a/b --lang tr --vocab-size 9000 --parallel Helsinki-NLP/opus-100:en-tr"
    assert client.predict("a/b", "de", 9000, api_name="/write_command").endswith("opus-100:de-en")
    # There are no such translations of it.
    assert client.predict("a/b", "sw", 9000, api_name="/write_command").endswith("--vocab-size 9000")


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("compare_tokenizers", ("a" * 10_001,), "at most 10,000"),
        ("compare_tokenizers", ("a", "../../etc", "student"), "is not a Hub id"),
        ("search_documents", ("a", "/etc/passwd"), "is not one of"),
        ("search_documents", ("",), "There is no text"),
        ("compare_sentences", (["a"],), "expected 2 to 12"),
        ("read_dataset", ("/etc",), "is not a Hub id"),
        ("write_command", ("a/b; rm -rf ~", "tr", 9000), "is not a Hub id"),
        ("write_command", ("a/b", "klingon", 9000), "Unknown language code"),
    ],
)
def test_the_api_says_what_is_wrong(client: Any, name: str, given: tuple[Any, ...], words: str) -> None:
    with pytest.raises(Exception, match=words):
        client.predict(*given, api_name=f"/{name}")


def test_functions_are_tools_of_mcp(page: str) -> None:
    import httpx

    tools = {tool["name"]: tool for tool in httpx.get(f"{page}gradio_api/mcp/schema").json()}
    assert "search_documents" in tools
    assert "Search documents by meaning" in tools["search_documents"]["description"]
    assert "up to 1,000 characters" in str(tools["search_documents"]["inputSchema"])


def test_at_most_four_processes_read_from_outside_at_once(page: str, client: Any, log: Path) -> None:
    from gradio_client import Client

    clients = [client, *(Client(page, verbose=False) for _ in range(2))]
    compared = [one.submit("a", "bob/none", api_name="/compare_tokenizers") for one in clients for _ in range(2)]
    read = [one.submit("bob/none", api_name="/read_dataset") for one in clients for _ in range(2)]
    for job in (*compared, *read):
        with pytest.raises(Exception, match="could not be reached"):
            job.result(timeout=240)
    counts = [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("RUNNING")]
    assert len(counts) >= len(compared) + len(read)
    assert 2 <= max(counts) <= 4


def test_no_call_passes_the_queue(page: str) -> None:
    import httpx

    for address, data in (
        ("gradio_api/run/compare_tokenizers", ["a", "bob/none", "student"]),
        ("gradio_api/api/read_dataset", ["bob/none", "", "train", ""]),
    ):
        answer = httpx.post(page + address, json={"data": data}, timeout=60)
        assert answer.status_code == 404
        assert "join the queue" in answer.text


def test_files_of_the_machine_are_not_served(page: str) -> None:
    import httpx

    for path in ("gradio_api/file=/etc/passwd", "gradio_api/file=../../etc/passwd", "file=/etc/passwd"):
        assert "root:" not in httpx.get(page + path).text
    big = httpx.post(f"{page}gradio_api/upload", files={"files": ("big.txt", b"a" * 6_000_000)}, timeout=60)
    assert big.status_code == 413


# -- the browser


@needs_browser
def test_every_tab_works_in_a_browser(browser: Any, page: str, log: Path) -> None:
    tab = visit(browser, page)
    shown, said = tab.inner_text("#ht-tokens-out"), "learned from text that includes this sentence"
    assert said in shown  # the example is a sentence of the run
    tab.fill("#ht-text textarea", "Yeni bir deneme metni")
    tab.wait_for_function("old => document.querySelector('#ht-tokens-out').innerText !== old", arg=shown)
    assert said not in tab.inner_text("#ht-tokens-out")
    tab.get_by_role("button", name="Other tokenizers").click()
    tab.check("#ht-ids input")
    tab.wait_for_selector("#ht-tokens-out .ids small")
    tab.get_by_role("tab", name="All languages").click()
    tab.wait_for_selector("#ht-languages tbody tr")
    assert tab.locator("#ht-languages tbody tr").count() == 40
    tab.get_by_role("tab", name="Search").click()
    tab.click("#ht-search")
    tab.wait_for_selector("#ht-search-out .ht-hits li")
    assert tab.locator("#ht-search-out .ht-hits").count() == 2
    tab.get_by_role("tab", name="Similarity").click()
    tab.click("#ht-measure")
    tab.wait_for_selector(".ht-heat")
    tab.get_by_role("tab", name="Results").click()
    tab.wait_for_selector("#ht-scores tbody tr")
    assert tab.locator(".ht-costs tbody tr").count() == 10
    tab.wait_for_function("document.querySelector('#ht-command').innerText.includes('hub-distill')")
    tab.fill("#ht-vocabulary input", "12345")
    tab.wait_for_function("document.querySelector('#ht-command').innerText.includes('12345')")
    assert "pip install hub-tools" in tab.inner_text("#ht-command")
    tab.fill("#ht-teacher input", "no id")
    tab.wait_for_function("document.querySelector('#ht-make-wrong').innerText.includes('no id is not a Hub id')")
    # What was done is in the address, which brings it back.
    assert "Yeni+bir+deneme" in tab.url
    again = visit(browser, tab.url)
    again.wait_for_selector("#ht-vocabulary")
    again.get_by_role("tab", name="Tokens").click()
    assert again.input_value("#ht-text textarea") == "Yeni bir deneme metni"
    assert tab.outside == again.outside == []
    assert "OUTGOING" not in log.read_text()


@needs_browser
def test_the_page_works_in_turkish_on_a_dark_phone_by_keyboard(browser: Any, page: str) -> None:
    phone = {"width": 390, "height": 844}
    tab = visit(browser, page, locale="tr-TR", viewport=phone, color_scheme="dark")
    assert tab.evaluate("document.documentElement.lang") == "tr"
    assert tab.evaluate("document.body.classList.contains('dark')")
    assert "daha az" in tab.inner_text("#ht-tokens-out")
    for name in ("Tokenlar", "Arama", "Benzerlik", "Tüm diller", "Sonuçlar"):
        tab.get_by_role("tab", name=name).click()
        # Nothing is wider than the screen; wide tables scroll inside.
        assert tab.evaluate("document.documentElement.scrollWidth") <= phone["width"] + 1
    tab.get_by_role("tab", name="Arama").focus()
    tab.keyboard.press("Enter")
    tab.focus("#ht-query textarea")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".ht-side.student .ht-hits li")
    unnamed = """[...document.querySelectorAll('input, textarea, button, svg[role=img], img')]
      .filter(e => e.offsetParent && !e.textContent.trim() && !e.ariaLabel && !e.title && !e.alt && !e.placeholder)
      .filter(e => !(e.labels && e.labels.length) && !e.closest('label')).map(e => e.outerHTML.slice(0, 200))"""
    assert tab.evaluate(unnamed) == []


@needs_browser
def test_hostile_text_and_files_run_nothing_in_a_browser(browser: Any, page: str, tmp_path: Path) -> None:
    evil = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
    tab = visit(browser, page)
    tab.fill("#ht-text textarea", evil)
    tab.wait_for_function("document.querySelector('#ht-tokens-out').innerText.includes('alert')")
    tab.get_by_role("tab", name="Search").click()
    tab.get_by_label("my own").check()
    tab.get_by_label("File", exact=True).check()
    (tmp_path / "evil.txt").write_text(f"{evil}\nbir satır\n")
    tab.set_input_files("#ht-file input[type=file]", tmp_path / "evil.txt")
    tab.wait_for_function("document.querySelector('#ht-file').innerText.includes('evil')")
    tab.wait_for_function("document.querySelector('#ht-ready').innerText.includes('2 documents')")
    tab.click("#ht-search")
    tab.wait_for_function("document.querySelector('#ht-search-out').innerText.includes('alert(1)')")
    assert tab.locator("#ht-search-out img, #ht-search-out script, #ht-tokens-out img").count() == 0
    assert tab.outside == []


def test_the_page_opens_from_the_command_line(finished: tuple[RunConfig, Any], tmp_path: Path) -> None:
    code = (
        "import hub_tools.space.app as app; from hub_tools.cli import run\n"
        "app.launch = lambda service, **options: print(sorted(service.corpora), options)\nrun()"
    )
    (tmp_path / "mine.txt").write_text("bir\niki\n")
    args = ["space", str(finished[0].output), "--documents", "mine.txt", "--port", "7999"]
    done = finish([sys.executable, "-c", code, *args], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "['documents', 'languages', 'passages', 'sentences']" in done.stdout
    assert "'port': 7999" in done.stdout
