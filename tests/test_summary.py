"""What README and docs/results.md begin with is what docs/results.md measured."""

from __future__ import annotations

import pytest

from benchmarks import summary
from benchmarks.document import read_section

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
