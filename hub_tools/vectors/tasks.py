"""Shards as tasks for any process on any machine: what it needs is handed over in a folder.

    tasks/rows/train-00000.parquet    the texts of each shard
    tasks/pooling.npz                 how tokens count, where the teacher does not say it itself (`TextPooling`)
    tasks/recipe.json                 how vectors are computed (`Recipe`); written last, so all is there where it is
    tasks/ranges.json                 the shards of each task, as they were given out last

A shard that is there is done: nothing else marks what is finished. So a task that runs twice, also at the same time,
changes nothing, and one that was killed leaves only what is missing to the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from hub_tools.core.files import digest, hash_file, read_as, read_json, replacing, write_json
from hub_tools.core.hardware import Hardware, choose_device, keep_freed_memory
from hub_tools.core.logging import quiet_libraries
from hub_tools.core.plain import to_plain
from hub_tools.models.encoder import Encoder
from hub_tools.models.loading import LoadPolicy, load_model, prepare_for_speed
from hub_tools.models.prompts import Prompts
from hub_tools.models.resolve import find_teacher
from hub_tools.models.text_pooling import TextPooling
from hub_tools.vectors.dataset import Row, Shard
from hub_tools.vectors.embed import embed_shard

TASKS = "tasks"
RECIPE, POOLING, RANGES, ROWS = "recipe.json", "pooling.npz", "ranges.json", "rows"
# Shards of a task at most.
MOST_SHARDS = 64


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the vectors of texts are computed, wherever that is."""

    teacher: str  # its folder, or id@commit of the Hub
    policy: LoadPolicy
    prompts: dict[str, str]
    dtype: str
    device: str  # as it was asked for: `auto` is chosen where the task runs
    precision: str
    threads: int | None  # of torch on a CPU; None leaves it to torch
    has_pooling: bool


class Place(Protocol):
    """Where a task gets what was handed over, and leaves its shards; a value that names it, of a few bytes."""

    def __hash__(self) -> int:
        """Return the same for the same place."""

    def scratch(self) -> TemporaryDirectory[str]:
        """Return a new folder for files that are not whole."""

    def fetch(self, name: str, scratch: Path) -> Path:
        """Return a file of the hand-over; a copy of it goes to a scratch folder."""

    def has(self, name: str) -> bool:
        """Return whether a shard is there."""

    def deliver(self, shard: Path) -> None:
        """Bring a whole shard from a scratch folder to its place."""


@dataclass(frozen=True)
class SharedFolder:
    """The folder of the stage, which all processes see."""

    root: Path

    def scratch(self) -> TemporaryDirectory[str]:
        """Make it on the disk of the shards, so that they can be renamed."""
        return TemporaryDirectory(prefix="scratch-", dir=self.root / TASKS)

    def fetch(self, name: str, scratch: Path) -> Path:
        """Return the file itself."""
        return self.root / TASKS / name

    def has(self, name: str) -> bool:
        """Look for the file."""
        return (self.root / name).exists()

    def deliver(self, shard: Path) -> None:
        """Rename it: another process that computed the same shard wrote the same bytes."""
        shard.replace(self.root / shard.name)


@dataclass(frozen=True)
class EmbedTask:
    """A step of a datatrove pipeline: computes what is missing of the shards of the task with the number `rank`.

    Raises:
        UserError: a vector is not finite (the message names the text), or the teacher cannot be loaded here.
    """

    name: ClassVar[str] = "embed"

    place: Place

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """Do the task."""
        with self.place.scratch() as folder:
            scratch = Path(folder)
            for name in read_json(self.place.fetch(RANGES, scratch))[rank]:
                if not self.place.has(name):
                    self._compute(name, scratch)

    def _compute(self, name: str, scratch: Path) -> None:
        recipe, encoder = _load(self.place)
        table = pq.read_table(self.place.fetch(f"{ROWS}/{name}", scratch))
        rows = list(map(Row, *(table[column].to_pylist() for column in Row._fields)))
        shard = Shard(scratch / "whole" / name, name.partition("-")[0], rows)
        embed_shard(shard, encoder, Prompts(texts=recipe.prompts, default=None), recipe.dtype)
        self.place.deliver(shard.file)


@lru_cache(maxsize=1)  # a process that has several tasks loads the model once
def _load(place: Place) -> tuple[Recipe, Encoder]:
    import torch

    quiet_libraries()
    with place.scratch() as folder:
        recipe = read_as(Recipe, place.fetch(RECIPE, Path(folder)))
        pooling = TextPooling.load(place.fetch(POOLING, Path(folder))) if recipe.has_pooling else None
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    hardware = Hardware(device=choose_device(recipe.device), precision=recipe.precision)
    if hardware.device == "cpu":
        keep_freed_memory()
    is_here = Path(recipe.teacher).is_dir()
    path = Path(recipe.teacher) if is_here else find_teacher(recipe.teacher, policy=recipe.policy).path
    model = load_model(path, device=hardware.device, policy=recipe.policy)
    model.prompts.update(recipe.prompts)
    prepare_for_speed(model, hardware)
    return recipe, Encoder(model, hardware, pooling)


def hand_over(folder: Path, recipe: Recipe, pooling: TextPooling | None, shards: Iterator[Shard]) -> list[str]:
    """Write what tasks need into a folder, and return the names of the shards; what an earlier call wrote stays."""
    if not (folder / RECIPE).exists():
        schema = pa.schema([(column, pa.string()) for column in Row._fields])
        for shard in shards:
            rows = folder / ROWS / shard.file.name
            if not rows.exists():
                columns = list(map(list, zip(*shard.rows, strict=True)))
                with replacing(rows) as partial:
                    pq.write_table(pa.table(columns, schema=schema), partial)
        if pooling is not None:
            pooling.save(folder / POOLING)
    write_json(folder / RECIPE, to_plain(recipe))  # again: where it is computed may have changed
    return sorted(file.name for file in (folder / ROWS).iterdir())


def hand_over_key(folder: Path) -> str:
    """Return a hash of all that decides the bytes of the shards."""
    recipe = read_as(Recipe, folder / RECIPE)
    files = [file for file in folder.rglob("*") if file.suffix in (".parquet", ".npz")]
    neutral = {"device": "", "threads": None}
    return digest([{**to_plain(recipe), **neutral}, {file.name: hash_file(file) for file in sorted(files)}])


def give_out(folder: Path, names: list[str], least: int | None) -> int:
    """Divide shards among tasks, neighbours together, and return how many tasks there are: `least` if there can be."""
    size = min(MOST_SHARDS, math.ceil(len(names) / (least or 1)))
    ranges = [names[start : start + size] for start in range(0, len(names), size)]
    write_json(folder / RANGES, ranges)
    return len(ranges)
