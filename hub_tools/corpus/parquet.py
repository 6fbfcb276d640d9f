"""Reading columns of text from a parquet file in little memory, whatever is in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hub_tools.core.errors import UserError
from hub_tools.corpus.lines import LONGEST_LINE, too_long
from hub_tools.corpus.pages import largest_pages

# Bytes of a page and of a batch of rows, rows of one, and bytes that become Python's objects at once.
_LARGEST_PAGE, _BATCH, _MOST_ROWS, _AT_ONCE = 2**26, 2**27, 1024, 2**25


def parquet_columns(path: Path) -> list[str]:
    """Return the names of the columns; a UserError says that the file is damaged."""
    with _open(path) as file:
        return list(file.schema_arrow.names)


def parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the place of each row, for messages, and its cells in these columns.

    Raises:
        UserError: the file is damaged, a column holds neither text nor numbers, or a page is too large to be read.
    """
    number = 0
    with _open(path) as file:
        for column in columns:
            _check_column(path, file.schema_arrow, column)
        for group, size in enumerate(largest_pages(path, columns)):
            if size > _LARGEST_PAGE:
                raise UserError(
                    f"{path}: {size:,} bytes of {', '.join(columns)} can only be read at once; expected at most "
                    f"{_LARGEST_PAGE:,}. Write the file again with shorter texts, or with smaller pages (of pyarrow: "
                    "use_dictionary=False, write_batch_size=16)."
                )
            # A cell is no larger than a page; of one that stands in a dictionary there may be any number.
            rows = min(_MOST_ROWS, max(1, _BATCH // max(1, size)))
            # Group by group: over a whole file, iter_batches reads ever more groups ahead and keeps them.
            for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=list(columns)):
                step = len(batch) if batch.nbytes <= _AT_ONCE else 1
                for part in (batch[start : start + step] for start in range(0, len(batch), step)):
                    for cells in zip(*(part.column(column).to_pylist() for column in columns), strict=True):
                        number += 1
                        if step == 1 and any(isinstance(cell, str) and len(cell) > LONGEST_LINE for cell in cells):
                            raise too_long(f"{path}, row {number}")
                        yield f"{path}, row {number}", cells


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        largest_pages(path, ())
        # So a column of a group is read page by page; otherwise whole.
        with pq.ParquetFile(path, buffer_size=2**16, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError) as error:
        # Some messages quote damaged bytes.
        first = ascii(str(error).partition("\n")[0][:200])[1:-1]
        raise UserError(f"{path} is no readable parquet file: {first}") from error


def _check_column(path: Path, schema: Any, column: str) -> None:
    import pyarrow.types as kinds

    if schema.get_field_index(column) < 0:
        raise UserError(f"{path} has more than one column {column!r}. Leave one.")
    kind = schema.field(column).type
    # Objects such as {"en": "...", "tr": "..."}; anything else may be of any size.
    parts = [field.type for field in kind] if kinds.is_struct(kind) else [kind]
    parts = [part.value_type if kinds.is_dictionary(part) else part for part in parts]
    if any(kinds.is_nested(part) or kinds.is_binary(part) or kinds.is_temporal(part) for part in parts):
        raise UserError(f"{path}: column {column!r} holds {kind}; expected texts. Store each text as one string.")
