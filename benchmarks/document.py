"""Sections of the documents that benchmarks write, between `<!-- NAME: begin -->` and `<!-- NAME: end -->`."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def write_section(document: str, name: str, lines: list[str]) -> None:
    """Replace what a benchmark wrote earlier.

    Args:
        document: name of a file in docs/ that has both marks.
        name: of the section.
        lines: Markdown.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    file = DOCS / document
    before, _, rest = file.read_text(encoding="utf-8").partition(begin)
    body = "\n".join(lines)
    file.write_text(f"{before}{begin}\n\n{body}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def table(rows: list[list[str]]) -> list[str]:
    """Rows as a Markdown table; the first is its head, all columns but the first stand on the right."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|---" + "|---:" * (len(rows[0]) - 1) + "|", *lines[1:]]
