"""What README and docs say: figures that were measured, links that lead somewhere, options that there are."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from benchmarks import summary
from benchmarks.document import DOCS, read_section
from hub_tools.cli import main

PAGES = [DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]

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
"""


@pytest.mark.parametrize("document", summary.DOCUMENTS)
def test_the_summary_is_of_the_results_that_are_there(document: str) -> None:
    assert read_section(document, "summary") == "\n".join(summary.lines()), "run: python -m benchmarks.summary"


def test_the_summary_says_what_the_first_run_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "read_section", lambda *_: NEW)
    claim, *_, speed, params, _, written = summary.lines()
    assert claim == (
        "**all-MiniLM-L6-v2 made a Turkish model in 40 minutes on two CPU cores: 50 % fewer tokens, 1.6 times the "
        "speed, STSb-tr 50.0 → 75.0, and 95.0 % of its English kept.**"
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_options_that_there_are(page: Path) -> None:
    commands: list[click.Command] = [main, *main.commands.values()]
    known = {name for command in commands for param in command.params for name in (*param.opts, *param.secondary_opts)}
    for line in re.findall(r"^(?: {4}|\s*)hub-distill .*$", page.read_text(encoding="utf-8"), re.MULTILINE):
        for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", line.partition("  #")[0]):
            assert option in known | {"--help"}, line
