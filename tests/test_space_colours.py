"""The colours of the page can be read: contrast as WCAG defines it, computed from style.css."""

from __future__ import annotations

import re
from importlib import resources

import pytest

STYLE = (resources.files("hub_tools") / "space" / "style.css").read_text(encoding="utf-8")
PAGE = {":root": "#ffffff", ".dark": "#0b0f19"}  # what gradio's theme puts behind everything
TEXT, GRAPHICS = 4.5, 3.0  # WCAG AA
WORDS = ("--ht-w0", "--ht-w0-strong", "--ht-w1", "--ht-w1-strong", "--ht-marked")


def colours(theme: str) -> dict[str, str]:
    """The colours of a theme by name."""
    block = re.search(rf"^{re.escape(theme)} \{{(.*?)\}}", STYLE, re.DOTALL | re.MULTILINE)
    assert block
    return {"page": PAGE[theme], **dict(re.findall(r"(--[\w-]+): ([^;]+)", block[1]))}


def channels(colour: str) -> list[float]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def luminance(rgb: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[float], other: list[float]) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast(channels("#000000"), channels("#ffffff")) == pytest.approx(21)
    assert contrast(channels("#0ea5e9"), channels("#ffffff")) == pytest.approx(2.77, abs=0.01)


@pytest.mark.parametrize("theme", PAGE)
def test_text_can_be_read_on_all_that_is_behind_it(theme: str) -> None:
    own = colours(theme)
    pairs = [
        (ink, ground)
        for ink in ("--ht-ink", "--ht-soft", "--ht-good", "--ht-bad", "--ht-b")
        for ground in ("page", "--ht-panel")
    ]
    pairs += [(ink, ground) for ink in ("--ht-ink", "--ht-bad") for ground in WORDS]
    pairs += [("--ht-good", "--ht-w0"), ("--ht-soft", "--ht-w0")]  # the row of the own language
    found = {pair: contrast(*(channels(own[name]) for name in pair)) for pair in pairs}
    assert {pair: round(ratio, 2) for pair, ratio in found.items() if ratio < TEXT} == {}


@pytest.mark.parametrize("theme", PAGE)
def test_bars_and_edges_stand_out(theme: str) -> None:
    own = colours(theme)
    pairs = [(bar, ground) for bar in ("--ht-a", "--ht-b", "--ht-c") for ground in ("page", "--ht-w0")]
    pairs += [("--ht-edge", "page"), *(("--ht-new", ground) for ground in ("--ht-panel", *WORDS[:4]))]
    found = {pair: contrast(*(channels(own[name]) for name in pair)) for pair in pairs}
    assert {pair: round(ratio, 2) for pair, ratio in found.items() if ratio < GRAPHICS} == {}


@pytest.mark.parametrize("theme", PAGE)
def test_cosines_can_be_read_at_every_strength(theme: str) -> None:
    own = colours(theme)
    heat = [float(part) for part in own["--ht-heat"].split(",")]
    ground, ink = channels(own["--ht-panel"]), channels(own["--ht-ink"])
    for step in range(101):
        share = step / 100 * float(own["--ht-heat-most"])
        cell = [share * over + (1 - share) * under for over, under in zip(heat, ground, strict=True)]
        assert contrast(ink, cell) >= TEXT, step
