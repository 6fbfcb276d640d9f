"""The program and its terminal: Ctrl-C at any time, closed streams, little memory, a launcher of one process."""

from __future__ import annotations

import errno
import io
import json
import logging
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hub_tools.core.distributed import ALONE, init_processes
from hub_tools.core.errors import explain
from hub_tools.core.terminal import duration
from tests.commands import PROGRAM, hub_distill

# A command that takes long, and still works when it is asked to stop and when the interpreter ends.
_SLOW = """
import atexit, time
from pathlib import Path
from hub_tools import cli

def work(**_):
    try:
        Path("ready").touch()
        time.sleep(60)
    finally:
        time.sleep(0.2)

atexit.register(time.sleep, 3)
cli.main.callback = work
cli.run()
"""


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.5])
def test_ctrl_c_twice_ends_with_the_same_sentence(seconds: float, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _SLOW], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert set(said.splitlines()) - {""} == {"Stopped. Run the same command again to go on."}


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_the_work_is_done_where_streams_are_closed(closed: str, tiny_teacher: Path, tmp_path: Path) -> None:
    options = ["corpus", "--teacher", str(tiny_teacher), "--lang", "tr", "--corpus", "sample", "--output", "run"]
    command = ["sh", "-c", f"{shlex.join([*PROGRAM, *options])} {closed}"]
    done = subprocess.run(command, cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (tmp_path / "run/corpus/.done.json").exists()
    # Nothing that was meant for a stream went into a file that got its number.
    assert "[1/1] corpus" in (tmp_path / "run/log.txt").read_text(encoding="utf-8")
    assert not (tmp_path / "run/config.toml").read_text(encoding="utf-8").startswith(" ")


def test_a_reader_that_has_seen_enough_ends_the_command_without_a_word(tmp_path: Path) -> None:
    code = "import click; from hub_tools import cli\n"
    code += "cli.main.callback = lambda **_: [click.echo('x' * 80) for _ in range(9999)]\ncli.run()"
    command = ["sh", "-c", f"{shlex.join([sys.executable, '-c', code])} | head -1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.stderr == b""


def test_little_memory_is_said(tiny_teacher: Path, tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (500 << 20,) * 2); "  # torch cannot be loaded
    options = ["--teacher", str(tiny_teacher), "--lang", "tr", "--corpus", "sample", "--output", "run"]
    command = [sys.executable, "-c", limit + PROGRAM[-1], *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Error: Out of memory." in done.stderr
    assert "Traceback" not in done.stderr


def test_all_that_stands_for_little_memory_is_explained() -> None:
    panic = type("PanicException", (BaseException,), {})
    for error in (
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("unable to mmap 90868376 bytes from file <model.safetensors>: Cannot allocate memory (12)"),
        RuntimeError("can't start new thread"),
        panic('failed to spawn thread: Os { code: 11, message: "Resource temporarily unavailable" }'),
    ):
        assert "finished stages are kept" in (explain(error) or "")
    assert explain(ImportError("No module named 'x'")) is None
    assert explain(panic("index out of bounds")) is None
    assert explain(SystemExit(3)) is None


def test_a_launcher_that_starts_one_process_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("hub_tools"), "propagate", True)
    assert init_processes("cpu") is ALONE
    assert caplog.text == ""
    # As `accelerate launch --cpu --num_processes 2` sets them.
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert init_processes("cpu") is ALONE
    assert "torchrun --nproc-per-node N" in caplog.text


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def corpus_of(teacher: Path, *words: str) -> list[str]:
    return ["corpus", "--teacher", str(teacher), "--lang", "tr", "--corpus", "sample", "--output", "run", *words]


def test_progress_in_a_pipe_is_a_line_now_and_then(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_tools.core.logging.SECONDS_BETWEEN_LINES", 0)
    said = hub_distill(*corpus_of(tiny_teacher), cwd=tmp_path).stderr
    first, *progress, last = said.splitlines()
    assert first == "[1/1] corpus"
    assert re.fullmatch(r"  [\d,]+ texts in 40 languages \(.+ s\)", last)
    assert progress
    for line in progress:
        assert re.fullmatch(r"  (reading: \d+ texts|checking \S+: +\d+% \d+/\d+) \[\d\d:\d\d.+\]", line)
    assert any(line.endswith(" tr, 1 of 40 languages]") for line in progress)
    assert re.search(r"[\x00-\x09\x0b-\x1f]", said) is None  # no control character but the end of a line
    assert hub_distill(*corpus_of(tiny_teacher), cwd=tmp_path).stderr == "[1/1] corpus: already done\n"


@pytest.mark.parametrize(
    ("words", "env", "starts", "has_bar"),
    [
        ([], {}, "\x1b[1m[1/1] corpus\x1b[0m\n", True),
        (["--no-progress"], {}, "\x1b[1m[1/1] corpus\x1b[0m\n", False),
        (["-q"], {}, "", False),
        ([], {"NO_COLOR": "1"}, "[1/1] corpus\n", True),
        ([], {"TERM": "dumb"}, "[1/1] corpus\n", True),
    ],
)
def test_a_terminal_has_a_bar_and_colours_and_both_can_be_left_out(
    tiny_teacher: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    words: list[str],
    env: dict[str, str],
    starts: str,
    has_bar: bool,
) -> None:
    monkeypatch.setattr("tests.commands.io.StringIO", Terminal)
    said = hub_distill(*corpus_of(tiny_teacher, *words), cwd=tmp_path, **{"TERM": "xterm", **env}).stderr
    assert said.startswith(starts)
    assert (said == "") is (words == ["-q"])
    assert ("\r  reading: " in said) is has_bar
    assert ("\x1b[1m" in said) is ("\x1b" in starts)
    assert "[1/1] corpus" in (tmp_path / "run/log.txt").read_text(encoding="utf-8")  # nothing is missing there


def test_the_bars_of_a_stage_share_one_line(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.commands.io.StringIO", Terminal)
    words = corpus_of(tiny_teacher)
    said = hub_distill("tokenizer", *words[1:], "--vocab-size", "700", cwd=tmp_path, TERM="xterm").stderr
    assert len(set(re.findall(r"\r  ([a-z ]+):", said))) >= 2
    # A bar below another one would go down, and up again.
    assert "\x1b[A" not in said
    assert [line for line in said.split("\n") if line.startswith("\r") and not line.strip()] == []


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_long_part_of_a_stage_leaves_a_line_and_a_short_one_none(
    stream: type[io.StringIO], tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.commands.io.StringIO", stream)
    words = ["tokenizer", *corpus_of(tiny_teacher)[1:], "--vocab-size", "700"]
    monkeypatch.setattr("hub_tools.core.logging.SECONDS_WORTH_SAYING", float("inf"))
    done = r"^(?:.*\r)?  (?:counting words|measuring tokenizers): [\d,]+ texts in .+ s$"
    assert re.search(done, hub_distill(*words, cwd=tmp_path).stderr, re.MULTILINE) is None
    monkeypatch.setattr("hub_tools.core.logging.SECONDS_WORTH_SAYING", 0)
    said = hub_distill(*words, "--fresh", cwd=tmp_path).stderr
    assert len(re.findall(done, said, re.MULTILINE)) >= 2
    assert re.search(r"counting words: [\d,]+ texts in ", (tmp_path / "run/log.txt").read_text(encoding="utf-8"))


def test_json_is_all_that_goes_to_stdout(tiny_teacher: Path, tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text('sentence1\tsentence2\tscore\nBir "kedi".\tİki köpek.\t1\nBir.\tBir.\t5\n')
    words = ["corpus", "--teacher", str(tiny_teacher), "--lang", "tr", "--corpus", "sample", "--sts", "x.tsv"]
    done = hub_distill(*words, "--output", "run", "--json", "-v", cwd=tmp_path)
    assert json.loads(done.stdout)["seconds"].keys() == {"corpus"}
    assert "quotation marks are text" in done.stderr
    again = hub_distill(*words, "--output", "run", cwd=tmp_path)
    assert (again.stdout, again.stderr) == ("", "[1/1] corpus: already done\n")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (12.4, "12 s"), (61, "1 min 1 s"), (7325, "2 h 2 min")]
)
def test_times_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
