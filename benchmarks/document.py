"""The parts of docs/*.md that a benchmark writes, between two marks that carry its name."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def read_section(document: str, name: str) -> str:
    """What stands between the marks of a name."""
    return _split(document, name)[1].strip()


def write_section(document: str, name: str, lines: list[str]) -> None:
    """Replace what stands between the marks of a name.

    Args:
        document: file in docs/.
        name: of the section.
        lines: Markdown.
    """
    before, _, after = _split(document, name)
    begin, end = _marks(name)
    body = "\n".join(lines).strip()
    (DOCS / document).write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}", encoding="utf-8")


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def _split(document: str, name: str) -> tuple[str, str, str]:
    text = (DOCS / document).read_text(encoding="utf-8")
    before, begin, rest = text.partition(_marks(name)[0])
    section, end, after = rest.partition(_marks(name)[1])
    if not begin or not end:
        raise SystemExit(f"docs/{document} has no section {name!r}.")
    return before, section, after


def table(rows: list[list[str]]) -> list[str]:
    """Rows as a Markdown table; the first is its head, all columns but the first stand on the right."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|---" + "|---:" * (len(rows[0]) - 1) + "|", *lines[1:]]
