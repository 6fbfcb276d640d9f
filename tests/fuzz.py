"""Read thousands of damaged inputs: python -m tests.fuzz [--count 10000] [--seed 0] [--only NAME].

Each input is sound but for one file, which is cut, has bits flipped, is filled with something else and so on. A reader
may take it or refuse it with one of our sentences. Anything else is a failure: a traceback, a process that dies, more
than 60 seconds, more than 2 GiB. It prints a table, names each failure by what makes it again, and ends with 1 if there
was one.
"""

from __future__ import annotations

import argparse
import atexit
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from hub_tools.core.errors import explain
from hub_tools.core.logging import quiet_libraries
from tests.damage import damage
from tests.fuzz_inputs import INPUTS
from tests.tiny_teacher import write_tiny_teacher

_SECONDS, _MEMORY = 60, 2 << 30
_KINDS = ("taken", "refused", "traceback", "died", "too slow", "too much memory")
_FORK = multiprocessing.get_context("fork")


def fuzz_case(name: str, number: int, sound: Path, scratch: Path) -> tuple[str, str]:
    """Damage one file of an input, read it, and return how that ended and what was said."""
    rng = random.Random(f"{name} {number}")
    folder = scratch / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sound, folder, symlinks=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file = rng.choice(files)
    kind, content = damage(file.read_bytes(), rng)
    file.write_bytes(content)
    what = f"{file.relative_to(folder)}: {kind}"
    try:
        INPUTS[name].read(folder, file)
    except BaseException as error:  # a panic of Rust code is no Exception
        said = explain(error)
        if said is None:
            return "traceback", f"{what}\n{traceback.format_exc(limit=-4)}"
        return "refused", f"{what}: {said}"
    return "taken", what


def work(name: str, numbers: list[int], sound: Path, answers: Connection) -> None:
    """Do cases one after another, and say before each what comes, so that a death has a name."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    with tempfile.TemporaryDirectory() as scratch:
        for number in numbers:
            signal.alarm(_SECONDS)  # kills the process, whatever it does by then
            answers.send((number, "begun", ""))
            answers.send((number, *fuzz_case(name, number, sound, Path(scratch))))
            signal.alarm(0)
            if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > _MEMORY:
                answers.send((number, "too much memory", ""))
                return  # its peak would count against those that follow


def run(name: str, numbers: list[int], sound: Path, results: dict[int, tuple[str, str]]) -> None:
    """Add outcome and words of each case to the results, with a new process after each that died."""
    while left := [number for number in numbers if number not in results]:
        receive, send = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=work, args=(name, left, sound, send))
        process.start()
        send.close()
        number = left[0]
        try:
            while True:
                number, outcome, said = receive.recv()
                if outcome != "begun":
                    results[number] = outcome, said
        except EOFError:
            process.join()
        if process.exitcode:
            outcome = "too slow" if process.exitcode == -signal.SIGALRM else "died"
            results[number] = outcome, f"exit code {process.exitcode}"


def apart(function: Callable[[Path], object], argument: Path) -> None:
    """Call a function in another process: one that has used threads of torch cannot be forked any more."""
    process = _FORK.Process(target=function, args=(argument,))
    process.start()
    process.join()
    assert process.exitcode == 0


def main() -> int:
    """Run all inputs and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=INPUTS)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--show", action="store_true", help="print what was said to each refused input")
    options = parser.parse_args()
    home = tempfile.mkdtemp(prefix="hub-tools-fuzz-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": home, "HUB_TOOLS_FUZZ_TEACHER": f"{home}/tiny/teacher"}
    apart(write_tiny_teacher, Path(home) / "tiny")
    quiet_libraries()
    names = [options.only] if options.only else list(INPUTS)
    shares = sum(INPUTS[name].share for name in names)
    failed = False
    sys.stdout.write(f"| input | {' | '.join(_KINDS)} | seconds |\n|---|{'---:|' * (len(_KINDS) + 1)}\n")
    for name in names:
        with tempfile.TemporaryDirectory() as root:
            sound = Path(root) / "sound"
            sound.mkdir()
            apart(INPUTS[name].write, sound)
            begin, count = time.monotonic(), max(1, options.count * INPUTS[name].share // shares)
            numbers = [options.seed * 1_000_000 + i for i in range(count)]
            results: dict[int, tuple[str, str]] = {}
            # No ThreadPoolExecutor: a process forked from its threads fails when it ends.
            parts = (numbers[i :: options.processes] for i in range(options.processes))
            threads = [threading.Thread(target=run, args=(name, part, sound, results)) for part in parts]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds = time.monotonic() - begin
        counts = Counter(outcome for outcome, _ in results.values())
        sys.stdout.write(f"| {name} | {' | '.join(f'{counts[kind]:,}' for kind in _KINDS)} | {seconds:.0f} |\n")
        sys.stdout.flush()
        for number, (outcome, said) in sorted(results.items()):
            is_failure = outcome not in ("taken", "refused")
            failed |= is_failure
            if is_failure or options.show:
                sys.stderr.write(f"{name} {number}: {outcome}: {said}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
