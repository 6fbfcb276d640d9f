"""What a user sees while a stage works: messages and progress bars on stderr, everything also in log.txt."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hub_tools.core.errors import UserError

log = logging.getLogger("hub_tools")


class _BarSafeHandler(logging.Handler):
    """Writes above a running progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def setup_logging(*, quiet: bool = False) -> None:
    """Send messages to stderr; if quiet, errors alone. Only programs call this, never the library."""
    log.setLevel(logging.ERROR if quiet else logging.INFO)
    log.propagate = False
    log.handlers = [_BarSafeHandler()]


@contextmanager
def log_to(file: Path | None) -> Iterator[None]:
    """Append messages with their time to a file as well, until the end of a `with` block; with None do nothing."""
    if file is None:
        yield
        return
    handler, level = logging.FileHandler(file, encoding="utf-8"), log.level
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    if level == logging.NOTSET:
        log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()


def quiet_libraries() -> None:
    """Keep the bars and warnings of the libraries out of the messages, for the whole process."""
    # Warnings about the fast tokenizer and forks would stand in every progress bar.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from transformers.utils import logging as transformers_logging

    quiet: Any = transformers_logging  # has no annotations
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()


def bar(description: str, total: int | None, unit: str, done: int = 0, *, delay: float = 0) -> tqdm[Any]:
    """Return a progress bar with count, rate and time left.

    `done` is what an earlier run already did; what takes less than `delay` seconds shows no bar.
    """
    return tqdm(
        total=total,
        desc=f"  {description}",
        unit=unit,
        initial=done,
        delay=delay,
        file=sys.stderr,
        # Without a terminal a bar is a line in a file: one every ten seconds is enough.
        mininterval=0.2 if sys.stderr.isatty() else 10.0,
        disable=not log.isEnabledFor(logging.INFO),
        leave=False,
    )


@contextmanager
def board(folder: Path | None, step: int) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Yield a function that writes the values of a step for TensorBoard into a folder; with None it writes nothing.

    `step` is the last one that counts: what an earlier run that was cut off wrote of later ones is forgotten.
    If tensorboard is not installed, that is a UserError.
    """
    if folder is None:
        yield lambda _step, _values: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError("--tensorboard needs a package that is not installed. Run: pip install tensorboard") from error
    with SummaryWriter(str(folder), purge_step=step + 1) as writer:

        def write(now: int, values: dict[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, now)

        yield write
