"""The folder of a finished run, made in no time: its record says what a report says, its files are small."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from hub_tools.core.files import digest, write_json, write_sealed, write_text
from hub_tools.core.plain import to_plain
from hub_tools.core.run_files import store_files
from hub_tools.core.run_record import RunRecord, StageRecord, write_record

# Folder of a stage -> its name in the report's timings, and the sections of the configuration that it uses.
_STAGES = {
    "corpus": ("corpus", ("corpus",)),
    "tokenizer": ("tokenizer", ("tokenizer",)),
    "clone": ("clone", ("clone", "embed")),
    "embeddings": ("embed", ("embed",)),
    "student": ("distill", ("distill",)),
    "evaluation": ("evaluate", ("evaluate",)),
}
_SHARED = ("teacher", "lang", "device", "precision", "seed", "trust_remote_code", "allow_pickle")
FILES = {
    "tokenizer": ("tokenizer.json", "tokenizer_config.json"),
    "clone": ("model.safetensors", "license/LICENSE"),
    "embeddings": ("manifest.json", "train-00000.parquet"),
    "student": ("model.safetensors", "modules.json"),
}


def read_report() -> dict[str, Any]:
    """The report that the cards of the tests are written from."""
    file = Path(__file__).parent / "data" / "report.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


def record_of(report: dict[str, Any]) -> RunRecord:
    """The record that a report would be made of."""
    config, teacher = report["config"], report["teacher"]
    results = {
        **{folder: report[folder] for folder in ("corpus", "tokenizer", "clone", "embeddings")},
        "student": report["distill"],
        "evaluation": {
            "evaluation": report["evaluation"],
            "hardware": report["hardware"],
            "searches": report["searches"],
            "costs": report["costs"],
            "smaller": report["smaller"],
            "example": report["example"],
            "models": {name: _without_identity(report[name]) for name in ("teacher", "student")},
        },
    }
    info = {"name": teacher["id"], "revision": teacher["revision"], "license": teacher["license"]}
    inputs = {folder: {name: digest(part) for name, part in parts_of(folder, teacher).items()} for folder in _STAGES}
    stages = {
        folder: StageRecord(
            key=digest(inputs[folder]),
            inputs=inputs[folder],
            options={**{key: config[key] for key in (*_SHARED, *sections)}, "teacher_info": info},
            result=results[folder],
            files={},
            seconds=report["timings"][name],
            versions=report["versions"],
        )
        for folder, (name, sections) in _STAGES.items()
    }
    return RunRecord(stages=stages, publish=config["publish"])


def parts_of(folder: str, teacher: dict[str, Any]) -> dict[str, Any]:
    """The parts of a stage's key."""
    return {"teacher": teacher["id"], "stage": folder}


def _without_identity(model: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key not in ("id", "revision", "license", "code")}


def write_run(root: Path, report: dict[str, Any]) -> Path:
    """Write a finished run folder."""
    for folder in _STAGES:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in FILES.get(folder, ()):
            write_text(root / folder / name, f"{folder}/{name}\n")
    write_json(root / "student" / "training.json", {"history": [{"step": 0, "cosine": 0.98}]})
    write_text(root / "figures" / "tokens_per_word.png", "a picture\n")
    write_text(root / "config.toml", "# The options of a hub-distill run.\n")
    mark(root, record_of(report))
    return root


def mark(root: Path, record: RunRecord) -> None:
    """Write the markers and the record of a run for the files that are there."""
    stages = {name: replace(stage, files=store_files(root / name)) for name, stage in record.stages.items()}
    for folder, stage in stages.items():
        write_sealed(root / folder / ".done.json", to_plain(stage))
    write_record(root, replace(record, stages=stages))
