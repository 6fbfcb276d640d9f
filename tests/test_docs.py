"""What README and docs say: figures that were measured, links that lead somewhere, options that there are."""

from __future__ import annotations

import ast
import json
import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import hub_tools
from benchmarks import summary
from benchmarks.document import DOCS, read_section
from hub_tools.cli import main
from scripts.errors_page import errors_page
from scripts.report_page import report_page, report_schema
from tests.fake_run import read_report

ROOT = DOCS.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))]
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
# Options of other programs that the pages speak of.
FOREIGN = {
    "--multi_gpu",
    "--num_processes",
    "--torch-backend",
    "--from",
    "--help",
    "--count",
    "--seed",
    "--only",
    "--data",
}

NEW = """
### all-MiniLM-L6-v2, Turkish, parallel text alone

Measured on 2026-12-01.

| test | teacher | trim | clone | student |
|---|---:|---:|---:|---:|
| STS stsb-tr, spearman (n=1,379) | 50.0 | 49.0 | 60.0 | 75.0 |
| STS stsb-en, spearman (n=1,379) | 80.0 | 79.0 | 78.0 | 76.0 |
| bitext ntrex128, accuracy tr-en (n=1,997) | 1.0 | 1.0 | 1.0 | 1.0 |
| million parameters | 22.7 | 23.3 | 23.3 | 23.3 |
| tokens per word, tr | 3.00 | 3.00 | 1.50 | 1.50 |
| sentences per second, in turns | 100 | 99 | 150 | 160 |

1200 steps; 40 minutes (corpus 0.9).

### multilingual-e5-small, tr, 32,768 tokens

| test | teacher | clone | student |
|---|---:|---:|---:|
| STS stsb-tr, spearman (n=1,379) | 76.0 | 75.0 | 77.0 |
| STS stsb-en, spearman (n=1,379) | 84.0 | 83.0 | 85.0 |
| retrieval xquad-questions, ndcg@10 (n=1,190) | 93.0 | 92.0 | 93.5 |
| retrieval xquad-questions, recall@1 (n=1,190) | 87.0 | 86.0 | 88.0 |
| bitext ntrex128, accuracy tr-en (n=1,997) | 96.0 | 95.0 | 97.0 |
| million parameters | 117.7 | 34.2 | 34.2 |
"""


@pytest.mark.parametrize("document", summary.DOCUMENTS)
def test_the_summary_is_of_the_results_that_are_there(document: str) -> None:
    assert read_section(document, "summary") == "\n".join(summary.lines()), "run: python -m benchmarks.summary"


def test_the_summary_says_what_the_first_run_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "read_section", lambda *_: NEW)
    claim, _, smaller, *_, speed, params, _, written = summary.lines()
    assert claim == (
        "**all-MiniLM-L6-v2 made a Turkish model in 40 minutes on two CPU cores: 50% fewer tokens, 1.6 times the "
        "speed, STSb-tr 50.0 → 75.0, and 95.0% of its English kept.**"
    )
    assert smaller == (
        "**multilingual-e5-small made a Turkish model of 29% of its size: STSb-tr 76.0 → 77.0, STSb-en 84.0 → 85.0, "
        "XQuAD-tr R@1 87.0 → 88.0, NTREX tr-en 96.0 → 97.0.**"
    )
    assert speed == "| Turkish sentences per second | 100 | 99 | 150 | 160 |"
    assert params == "| million parameters | 22.7 | 23.3 | 23.3 | 23.3 |"
    assert "2026-12-01" in written


@pytest.mark.parametrize("page", ["../README.md", "comparison.md"])
def test_what_is_said_of_other_ways_was_measured(page: str) -> None:
    measured = "".join((DOCS / name).read_text(encoding="utf-8") for name in ("results.md", "performance.md"))
    text = (DOCS / page).read_text(encoding="utf-8").replace("\n| ", "\n\n| ")
    said = [part for part in text.split("\n\n") if re.search("measured", part, re.IGNORECASE) and "](" in part]
    figures = re.findall(r"\d+\.\d+|\d+,\d{3}", " ".join(re.sub(r"\(http\S+\)", "", part) for part in said))
    assert len(figures) > 4  # it found some
    for figure in figures:
        assert figure in measured, figure


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for file, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8")):
        target = page.parent / file if file else page
        assert target.exists(), f"{page.name}: {file}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {file}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def known_options() -> set[str]:
    commands: list[click.Command] = [main, *main.commands.values()]
    return {name for command in commands for param in command.params for name in (*param.opts, *param.secondary_opts)}


def commands_of(page: Path) -> list[str]:
    """The commands of a page: lines of examples that begin with hub-distill, less what stands beside them."""
    text = re.sub(r" *\\\n *", " ", page.read_text(encoding="utf-8"))
    return [re.split(" {2,}", line)[0] for line in re.findall(r"^ *(?:\$ )?(hub-distill .*)$", text, re.MULTILINE)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_options_that_there_are(page: Path) -> None:
    for line in commands_of(page):
        for option in OPTION.findall(line):
            assert option in known_options() | {"--help"}, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_in_sentences_are_those_of_the_program(page: Path) -> None:
    for code in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")):
        if re.match(r"(hub-distill|hf distill|--)", code):
            for option in OPTION.findall(code):
                assert option in known_options() | FOREIGN, code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_can_be_read(page: Path) -> None:
    for line in commands_of(page):
        words = shlex.split(line)[1:]
        if "..." in words:
            continue
        command = main.commands.get(words[0]) if words else None
        try:
            if command is None:
                main.make_context("hub-distill", words)
            else:
                command.make_context(words[0], words[1:])
        except click.exceptions.Exit:  # --help
            pass
        except click.UsageError as error:
            pytest.fail(f"{page.name}: {line}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_are_python(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.MULTILINE)
    for example in [*fenced, *map(textwrap.dedent, indented)]:
        if re.match(r"\s*(from|import) \w", example):
            tree = ast.parse(example)
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module == "hub_tools":
                    assert [name.name for name in node.names if name.name not in hub_tools.__all__] == []


def test_generated_pages_are_up_to_date() -> None:
    assert (DOCS / "errors.md").read_text(encoding="utf-8") == errors_page(), "python scripts/errors_page.py"
    assert (DOCS / "report.md").read_text(encoding="utf-8") == report_page(), "python scripts/report_page.py"
    schema = json.loads((DOCS / "report.schema.json").read_text(encoding="utf-8"))
    assert schema == report_schema(), "python scripts/report_page.py --schema"


def problems(value: Any, schema: dict[str, Any], defs: dict[str, Any], where: str = "report") -> list[str]:
    """Where a value is not what the part of JSON Schema that report_schema uses says."""
    if "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        found = [problems(value, member, defs, where) for member in schema["anyOf"]]
        return min(found, key=len)
    names = {
        dict: "object",
        list: "array",
        str: "string",
        bool: "boolean",
        int: "integer",
        float: "number",
        type(None): "null",
    }
    kind, wanted = names.get(type(value), "null"), schema.get("type")
    if wanted not in (None, kind) and (wanted, kind) != ("number", "integer"):
        return [f"{where}: {kind} for {wanted}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r}"]
    if isinstance(value, list):
        return [p for item in value for p in problems(item, schema.get("items", {}), defs, f"{where}[]")]
    if isinstance(value, dict) and wanted:
        known, other = schema.get("properties", {}), schema["additionalProperties"]
        lost = [f"{where}: no {name}" for name in schema.get("required", []) if name not in value]
        lost += [f"{where}: {name} is unknown" for name in value if name not in known and other is False]
        for name, item in value.items():
            lost += problems(item, known.get(name, other or {}), defs, f"{where}.{name}")
        return lost
    return []


def test_a_report_is_what_its_schema_says() -> None:
    report, schema = read_report(), report_schema()
    assert problems(report, schema, schema["$defs"]) == []
    report["teacher"]["params"] = "many"
    del report["clone"]["exact"]
    report["student"]["colour"] = "red"
    assert len(problems(report, schema, schema["$defs"])) == 3


def test_the_site_has_every_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav = yaml.safe_load(re.sub(r"!!python\S+", "", text))["nav"]

    def pages(part: Any) -> list[str]:
        children = part.values() if isinstance(part, dict) else part
        return [part] if isinstance(part, str) else [page for child in children for page in pages(child)]

    assert sorted(pages(nav)) == sorted(page.name for page in DOCS.glob("*.md"))
