"""Imports only go down: the layers of docs/design.md, and no circle between files."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "hub_tools"
LAYERS = (
    {"core"},
    {"config_clone", "config_evaluate", "config_finetune", "config_scale", "config_students"},
    {"config"},
    {"options", "results"},
    {"corpus", "tokenization"},
    {"models", "demo"},
    {"cloning", "vectors"},
    {"training", "evaluation", "exporting"},
    {"finetuning"},
    {"reporting"},
    {"hub"},
    {"stages"},
    {"pipeline", "comparison"},
    {"api", "space"},
    {"cli"},
    {"job_script"},
)
NEVER = {("space", "hub"), ("space", "stages"), ("space", "pipeline")}


def imports(file: Path) -> set[str]:
    """Modules of hub_tools that a file imports anywhere, under TYPE_CHECKING and inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name in MODULES and MODULES[name] != file}


def modules() -> dict[str, Path]:
    files = (file for file in ROOT.rglob("*.py") if file != ROOT / "__init__.py")
    dotted = {file: ".".join(file.relative_to(ROOT.parent).with_suffix("").parts) for file in files}
    return {name.removesuffix(".__init__"): file for file, name in dotted.items()}


MODULES = modules()
GRAPH = {name: imports(file) for name, file in MODULES.items()}
FLOOR = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name: str) -> None:
    room = name.split(".")[1]
    rooms = {other.split(".")[1] for other in GRAPH[name]} - {room}
    assert not {other for other in rooms if FLOOR[other] >= FLOOR[room] or (room, other) in NEVER}


def test_no_files_import_each_other() -> None:
    # A package's __init__ that hands names on is no room of its own.
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_module_is_too_long() -> None:
    lengths = {name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 400} == {}
