"""Shards of a dataset of the Hub as tasks for any process: each reads one, and cleans and cuts its texts.

    tasks/tr-0/tokenizer.json         the teacher's, which texts are cut by
    tasks/tr-0/shard-00000.parquet    for each row of the shard, in their order, the pieces of its text

A shard that is there is done: nothing else marks what is finished. So a task that runs twice, also at the same time,
changes nothing, and one that was killed leaves only what is missing to the next. What looks at more than one text,
such as for duplicates, is done where the pieces come together, in the order in which one process would read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from hub_tools.core.errors import UserError
from hub_tools.core.files import fsync_file, replacing
from hub_tools.core.logging import quiet_libraries
from hub_tools.corpus.clean import pieces
from hub_tools.corpus.contamination import in_batches
from hub_tools.corpus.sources import HubTexts, Source, shuffled

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TASKS = "tasks"
TOKENIZER, SHARD = "tokenizer.json", "shard-{:05d}.parquet"
# Texts of a language from which on tasks read its datasets, which they read whole.
LEAST_FOR_TASKS = 1_000_000
_SCHEMA = pa.schema([("pieces", pa.list_(pa.string()))])


@dataclass(frozen=True)
class CutTask:
    """A step of a datatrove pipeline: cuts what is missing of the shards of the task with the number `rank`.

    Raises:
        UserError: the dataset cannot be read.
    """

    name: ClassVar[str] = "corpus"

    texts: HubTexts
    folder: Path
    missing: tuple[int, ...]
    max_tokens: int

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """Do the task."""
        quiet_libraries()
        for number in self.missing[rank::world_size]:
            if not (self.folder / SHARD.format(number)).exists():
                self._cut(number)

    def _cut(self, number: int) -> None:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.folder / TOKENIZER))
        rows = (list(pieces(text, tokenizer, self.max_tokens)) for text in self.texts.shard(number))
        with TemporaryDirectory(prefix="scratch-", dir=self.folder) as scratch:
            unfinished = Path(scratch) / "shard.parquet"
            with pq.ParquetWriter(unfinished, _SCHEMA) as file:
                for batch in in_batches(rows, lambda row: row):
                    file.write_table(pa.table([batch], schema=_SCHEMA))
            fsync_file(unfinished)
            unfinished.replace(self.folder / SHARD.format(number))


@dataclass(frozen=True, kw_only=True)
class Cutter:
    """Cleans and cuts texts by the teacher's tokenizer, those of large datasets of the Hub in tasks.

    `run` runs the tasks of a step, one for each of the files that are to be written; without it there are none.
    """

    tokenizer: Tokenizer
    max_tokens: int
    run: Callable[[CutTask, list[Path]], None] | None

    def __call__(self, source: Source, limit: int | None, folder: Path) -> Iterator[Iterable[str]]:
        """Yield the pieces of each text of a source, of which up to `limit` are needed; tasks work in a folder."""
        if self.run and source.stream and (shards := shards_for_tasks(source.stream, limit)):
            yield from self._elsewhere(source.stream, shards, folder.absolute(), self.run)
        else:
            for text in source.open():
                yield pieces(text, self.tokenizer, self.max_tokens)

    def _elsewhere(
        self, texts: HubTexts, shards: int, folder: Path, run: Callable[[CutTask, list[Path]], None]
    ) -> Iterator[list[str]]:
        from datasets import IterableDataset

        files = [folder / SHARD.format(number) for number in range(shards)]
        if missing := tuple(number for number, file in enumerate(files) if not file.exists()):
            with replacing(folder / TOKENIZER) as unfinished:
                self.tokenizer.save(str(unfinished))
            run(CutTask(texts, folder, missing, self.max_tokens), [files[number] for number in missing])
        if left := [file.name for file in files if not file.exists()]:
            raise UserError(
                f"{len(left)} of {len(files)} shards of {texts.name} are missing, {left[0]} among them: a task failed, "
                f"and its log in {folder / 'logs'} says why. Run the same command again: only what is missing is read."
            )
        # As many shards of as many rows as the dataset has: `datasets` puts them into the same order.
        stream = IterableDataset.from_parquet([str(file) for file in files])
        yield from (row["pieces"] for row in shuffled(stream, texts.seed))


def shards_for_tasks(texts: HubTexts, limit: int | None) -> int:
    """Return the number of shards that tasks read: none, unless most of several is asked for, as far as is known.

    Raises:
        UserError: so many texts are asked for that the dataset is looked at, and it cannot be read.
    """
    if limit is not None and limit < LEAST_FOR_TASKS:
        return 0
    shards, rows = texts.sizes()
    return shards if shards > 1 and (limit is None or rows is None or 2 * limit >= rows) else 0
