"""Ways to count links of a word alignment, compared by the rows that they give; writes its section of docs/results.md.

    python -m benchmarks.align --data DIR [--work DIR] [--lang tr ...]

all-MiniLM-L6-v2 before any training; DIR and what is read of it: see benchmarks/init.py. No test split is read.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

from benchmarks.document import write_section
from benchmarks.init import LANGUAGES, judged, measure, prepare
from hub_tools.cloning import aligned_init as translate
from hub_tools.cloning.ibm_model1 import Links
from hub_tools.core.files import read_json, write_json


def compare(data: Path, work: Path, lang: str) -> list[dict[str, Any]]:
    """Measure all ways in a language; what was measured before is read."""
    found, config = [], None
    for links in get_args(Links):
        for words in (False, True):
            out = work / lang / f"align-{links}{'-words' if words else ''}"
            if not (out / "before.json").exists():
                config = config or prepare(data, work, lang)
                with patch.multiple(translate, LINKS=links, WHOLE_WORDS=words):
                    measure(config, data, out, "align", judged(work, lang))
            found.append({"links": links, "words": words, **read_json(out / "before.json")})
            print(json.dumps(found[-1]), flush=True)
    write_json(work / lang / "align.json", {"found": found})
    return found


def section(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Markdown of all that was measured."""
    lines = [
        f"Written by `python -m benchmarks.align --data DATA` on {time.strftime('%Y-%m-%d')}, before any training;",
        "measures as in the tables of new rows. Words: a link to a piece is shared among all pieces of its word.",
        "",
        "| language | links | words | rows aligned | cosine, same text | cosine, translation | STS | English STS |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for lang, ways in found.items():
        for way in ways:
            cells = [LANGUAGES[lang], f"`{way['links']}`", "yes" if way["words"] else "no", f"{way['aligned']:,}"]
            cells += [f"{way[key]:.3f}" for key in ("same", "translation")]
            cells += [f"{100 * way[key]:.1f}" for key in ("sts", "english")]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("init-benchmark"))
    parser.add_argument("--lang", nargs="*", choices=LANGUAGES, default=["tr"])
    args = parser.parse_args()
    found = {lang: compare(args.data, args.work, lang) for lang in args.lang}
    write_section("results.md", "align", section(found))


if __name__ == "__main__":
    main()
