"""The tables that benchmarks read: gzipped TSV without quoting."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path


def rows_of(file: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a table, column -> cell."""
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
