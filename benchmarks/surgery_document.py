"""What benchmarks/surgery.py measured, in words: its section of docs/performance.md, and the bars that were missed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.document import write_section
from hub_tools.tokenization.token_map import Match

# The parts with a row in the table -> its title.
TITLES = {
    "tekken": "Tekken, byte-level BPE (mistral-common)",
    "gemma": "Gemma-shaped, BPE with byte fallback (trained here)",
    "mistral": "Mistral v1, BPE with byte fallback (mistral-common)",
    "unigram": "Unigram (trained here)",
}
HEAD = (
    "teacher",
    "tokens",
    "kept + new",
    "new reachable",
    "Turkish tokens per word",
    "English",
    "other languages",
    "against native",
    "by share of use",
    "seconds",
    "reading",
    "peak GiB",
)
LEGEND = """\
Turkish, English and the mean of the other languages: NTREX-128, tokens against the teacher's. Against native: Turkish
tokens over those of a BPE trained from nothing on the same Turkish text with as many tokens as the student uses of it,
were it once; by share of use: with each of these counted by Turkish's share of its use (weights of the objective).
Seconds: the plan and the files, after the words of all text were counted (reading).
"""
# What the student must reach: the figure, its bound, and how it is said.
BARS: dict[str, tuple[tuple[str, Callable[[dict[str, Any]], float], float], ...]] = {
    "tekken": (
        ("Turkish tokens per word", lambda found: found["target"][1], 1.70),
        ("more English tokens", lambda found: found["english"], 0.10),
        ("more tokens in other languages", lambda found: found["others"], 0.08),
        ("against native", lambda found: found["native"]["used_ratio"], 1.03),
    ),
    "gemma": (
        ("distance from 131,072 tokens", lambda found: abs(found["vocab_size"] - 131_072), 0),
        ("added tokens that nothing reaches", lambda found: found["added"] - found["added_reachable"], 0),
        ("seconds after reading", lambda found: found["seconds_after_reading"], 90),
        ("peak GiB", lambda found: found["peak_gib"], 4),
        ("against native", lambda found: found["native"]["used_ratio"], 1.03),
    ),
    "mistral": (("against native", lambda found: found["native"]["used_ratio"], 1.03),),
    "map": (("seconds for map and rows", lambda found: found["seconds_map_and_rows"], 10),),
    "languages": (("seconds of processors with all languages", lambda found: found["all"][-1], 90),),
    "identity": (("texts read otherwise", lambda found: sum(found.values()), 0),),
}


def document(work: Path) -> list[str]:
    """Write what was measured into docs/performance.md; returns the bars that were missed."""
    found = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(work.glob("*.json"))}
    here = [(title, found[name]) for name, title in TITLES.items() if name in found]
    text = [
        f"Written by `python -m benchmarks.surgery --data DATA` on {time.strftime('%Y-%m-%d')}; two CPU cores.",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|" + "---|" * len(HEAD),
        *(row(title, own) for title, own in here),
        "",
        LEGEND,
        *(details(title, own) for title, own in here),
    ]
    if "map" in found:
        own = found["map"]
        kinds = ", ".join(f"{own[kind.name.lower()]:,} {kind.name.lower()}" for kind in Match)
        text.append(
            f"Map for {own['shape'][0]:,} x {own['shape'][1]} from 262,144 x 768: {own['seconds_map']:.1f} s, with the "
            f"new rows {own['seconds_map_and_rows']:.1f} s ({kinds}).\n"
        )
    if "languages" in found:
        own = found["languages"]
        said = "{} languages ({:,} texts, {:.0f} MB) in {:.0f} s, {:.0f} s of processors"
        runs = "; ".join(said.format(*own[name]) for name in ("two", "all"))
        text.append(f"The stage for the {own['tokens']:,} tokens of {own['teacher']}, nothing learned: {runs}.\n")
    if "identity" in found:
        counts = ", ".join(f"{name} {count}" for name, count in found["identity"].items())
        text.append(f"Lines of all the text with other ids when the teacher's own vocabulary is asked for: {counts}.\n")
    short = missed(found)
    text.append("Bars missed: " + "; ".join(short) + "." if short else "Every bar measured was reached.")
    write_section("performance.md", "surgery", text)
    return short


def row(name: str, found: dict[str, Any]) -> str:
    """A row of the table."""
    before, after = found["target"]
    cells = [
        name,
        f"{found['teacher_size']:,} -> {found['vocab_size']:,}",
        f"{found['kept']:,} + {found['added']:,}",
        f"{found['added_reachable'] / max(found['added'], 1):.0%}",
        f"{before:.2f} -> {after:.2f}",
        f"{found['english']:+.1%}",
        f"{found['others']:+.1%}",
        f"{found['native']['used_ratio']:.3f}",
        f"{found['native']['ratio']:.3f}",
        f"{found['seconds_after_reading']:.0f}",
        f"{found['seconds_reading']:.0f}",
        f"{found['peak_gib']:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def details(name: str, found: dict[str, Any]) -> str:
    """What the table has no room for."""
    worst = ", ".join(f"{lang} {change:+.0%}" for lang, change in found["worst"])
    sources = ", ".join(f"{count:,} {rule}" for rule, count in found["sources"].items())
    own = f"tokens spent on Turkish {found['native']['spent']:,}, used in Turkish text {found['native']['used']:,}"
    return f"{name}: {found['languages']} other languages, worst {worst}; placed by rule: {sources}; {own}.\n"


def missed(found: dict[str, dict[str, Any]]) -> list[str]:
    """The bars that were measured and not reached."""
    return [
        f"{part}: {what} {value(found[part]):.4g}, wanted at most {bound:.4g}"
        for part, bars in BARS.items()
        if part in found
        for what, value, bound in bars
        if value(found[part]) > bound
    ]
