"""The committed report of a run, and the same with hostile text in all that others write."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hub_tools.reporting.report import FullReport
from hub_tools.reporting.reproduce import reproduce

DATA = Path(__file__).parent / "data"
EVIL = (
    "x$metadata ${title} {{ 7*7 }} | <script>alert(1)</script> `` ``` [a](javascript:b)\n---\nlicense: mit\n---\n# Hi"
)


def poisoned(report: dict[str, Any]) -> dict[str, Any]:
    report = copy.deepcopy(report)
    report["evaluation"][1]["task"] = EVIL
    report["corpus"]["text"]["tr"]["sources"] = [EVIL, f"/home/ada/{EVIL}"]
    report["corpus"]["revisions"] = {EVIL: EVIL}
    report["corpus"]["parallel"]["files"] = [f"{EVIL}.tsv"]
    report["student"]["code"] = [EVIL]
    report["config"]["corpus"]["sources"] = [EVIL]
    report["config"]["evaluate"]["sts"] = [f"{EVIL}.tsv"]
    report["embeddings"]["prompts"] = {EVIL: EVIL}
    report["tokenizer"]["normalizer_changes"] = [EVIL]
    report["tokenizer"]["family"] = EVIL
    report["searches"][0]["query"] = EVIL
    report["example"] |= {"query": EVIL, "documents": [EVIL]}
    report["teacher"]["license"] = {"license": "other", "license_name": EVIL, "license_link": EVIL}
    return report


def command_of(report: dict[str, Any]) -> str:
    return reproduce(FullReport.from_dict(report))[0]
