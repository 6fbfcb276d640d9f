"""What a user sees while a stage works: messages and progress on stderr; log.txt has all messages."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeAlias

from tqdm import tqdm

from hub_tools.core.errors import UserError
from hub_tools.core.terminal import Style, duration, paint

SECONDS_BETWEEN_LINES = 30
# A part of a stage that took as long is said to be done, beside the bar of the next one.
SECONDS_WORTH_SAYING = 10
log = logging.getLogger("hub_tools")


class _Terminal(logging.Handler):
    """Writes above a running progress bar instead of through it, warnings in yellow."""

    shows_progress = True

    def emit(self, record: logging.LogRecord) -> None:
        usual: Style = "yellow" if record.levelno >= logging.WARNING else "plain"
        tqdm.write(paint(self.format(record), getattr(record, "style", usual), sys.stderr), file=sys.stderr)


def setup_logging(*, quiet: bool = False) -> None:
    """Send messages to stderr; if quiet, errors alone. Only programs call this, never the library."""
    log.setLevel(logging.ERROR if quiet else logging.DEBUG)
    log.propagate = False
    log.handlers = [_Terminal(logging.INFO)]


def show_from(level: int) -> None:
    """Show messages from a level on, where `setup_logging` was called; log.txt has all of them in any case."""
    for terminal in _terminals():
        terminal.setLevel(level)


def hide_progress() -> None:
    """Show no progress, where `setup_logging` was called."""
    for terminal in _terminals():
        terminal.shows_progress = False


def _terminals() -> list[_Terminal]:
    return [handler for handler in log.handlers if isinstance(handler, _Terminal)]


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


class Bar(tqdm):  # type: ignore[type-arg] # generic in its stubs alone: tqdm[Any] fails when it runs
    """Progress on a terminal."""

    is_part = False

    def close(self) -> None:
        """Take the bar away; of a long part of a stage a line stays."""
        was_shown = not self.disable
        super().close()
        if was_shown and self.is_part:
            _say_done(self.desc, self.n, self.unit, self.format_dict["elapsed"])


def _say_done(description: str, n: float, unit: str, seconds: float) -> None:
    if seconds >= SECONDS_WORTH_SAYING:
        log.info("%s: %s%s in %s", description.removesuffix(": "), f"{n:,.0f}", unit, duration(seconds))


class Lines:
    """Progress where there is no terminal: a message now and then, none for what is quick."""

    def __init__(self, description: str, total: int | None, unit: str, done: int, *, is_part: bool = False) -> None:
        self._is_part = is_part
        self.n = self._first = done
        self.total = total
        self._description, self._unit, self._postfix = description, unit, ""
        self._start = self._last = time.monotonic()

    def update(self, n: int = 1) -> None:
        """Count what was done."""
        self.n += n
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            log.info("%s", self._text(now - self._start))

    def _text(self, elapsed: float) -> str:
        return tqdm.format_meter(
            self.n,
            self.total or 0,  # without one there is no time left
            elapsed,
            ncols=0,
            prefix=self._description,
            unit=self._unit,
            initial=self._first,
            postfix=self._postfix,
        )

    def set_postfix_str(self, text: str, *, refresh: bool = False) -> None:
        """Set what stands after the numbers from now on."""
        self._postfix = text

    def close(self) -> None:
        """Say of a long part of a stage that it is done."""
        if self._is_part:
            _say_done(self._description, self.n, self._unit, time.monotonic() - self._start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Progress: TypeAlias = Bar | Lines


def bar(
    description: str, total: int | None, unit: str, done: int = 0, *, delay: float = 0, is_part: bool = False
) -> Progress:
    """Return a progress bar with count, rate and time left; a message now and then where there is no terminal.

    `done` is what an earlier run already did; what takes less than `delay` seconds shows no bar. A stage has one bar at
    a time: where it has several one after another, each `is_part` and a long one leaves a line that it is done.
    """
    shown = log.isEnabledFor(logging.INFO) and all(t.shows_progress and t.level <= logging.INFO for t in _terminals())
    if shown and not sys.stderr.isatty():
        return Lines(f"  {description}", total, unit, done, is_part=is_part)
    shown_bar = Bar(
        total=total,
        desc=f"  {description}",
        unit=unit,
        initial=done,
        delay=delay,
        file=sys.stderr,
        mininterval=0.2,
        disable=not shown,
        leave=False,
    )
    shown_bar.is_part = is_part
    return shown_bar


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
