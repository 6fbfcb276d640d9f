"""The engines that run tasks: executors of datatrove, with their completion markers left out.

Which shards are missing is looked up before each launch (`tasks`), so a launch has no task that is done already, and
nothing that datatrove notes down about earlier ones counts.
"""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import active_children, connection, get_context, parent_process
from pathlib import Path
from typing import Any

from hub_tools.config_scale import STORAGE, ScaleConfig
from hub_tools.core.errors import UserError
from hub_tools.core.logging import bar, log
from hub_tools.core.versions import versions
from hub_tools.corpus.shards import CutTask
from hub_tools.models.loading import LoadPolicy
from hub_tools.models.prompts import Prompts
from hub_tools.models.text_pooling import TextPooling
from hub_tools.vectors.dataset import Shard
from hub_tools.vectors.tasks import TASKS, EmbedTask, Recipe, SharedFolder, give_out, hand_over

# Processes of `local`, and Jobs at once, where nobody says how many.
_WORKERS = 2
# Tasks of each process of `local`, which keeps its model: so many that none waits long for the last one of another.
_TASKS_A_PROCESS = 32
# Seconds between two looks at which shards are there.
_LOOK = 2.0
_AGAIN = "Run the same command again: only what is missing is computed."


def check_installed(scale: ScaleConfig) -> None:
    """Make sure that what an executor needs is installed.

    Raises:
        UserError: it is not; the message says what to install.
    """
    if scale.executor is None:
        return
    if find_spec("datatrove") is None:
        raise UserError("--executor needs packages that are not installed. Run: pip install 'hub-tools[scale]'")
    if scale.executor == "ray" and find_spec("ray") is None:
        raise UserError("--executor ray needs a package that is not installed. Run: pip install ray")


def compute_shards(
    shards: Iterator[Shard],
    out: Path,
    prompts: Prompts,
    pooling: TextPooling | None,
    *,
    scale: ScaleConfig,
    teacher: str,
    policy: LoadPolicy,
    dtype: str,
    device: str,
    precision: str,
    run: Callable[[Path, list[str]], None] | None = None,
) -> list[Path]:
    """Compute shards in tasks of an executor, and return the files of all of them.

    `run` runs the tasks of those that are missing, given the folder of the stage; by default on machines that see it.

    Raises:
        UserError: a task failed; what it would have computed is missing.
    """
    workers = scale.workers or _WORKERS
    recipe = Recipe(
        teacher=teacher,
        policy=policy,
        prompts=prompts.texts,
        dtype=dtype,
        device=device,
        precision=precision,
        threads=max(1, (os.cpu_count() or 1) // workers) if scale.executor == "local" else None,
        has_pooling=pooling is not None,
    )
    names = hand_over(out / TASKS, recipe, pooling, shards)
    missing = [name for name in names if not (out / name).exists()]
    if missing:
        (run or (lambda folder, left: _run_here(folder, left, scale)))(out, missing)
    if left := [name for name in missing if not (out / name).exists()]:
        logs = scale.arguments.get(STORAGE, out / TASKS / "logs")
        raise UserError(
            f"{len(left)} of {len(names)} shards are missing, {left[0]} among them: a task failed, and its log in "
            f"{logs} says why. {_AGAIN}"
        )
    return [out / name for name in names]


def _run_here(out: Path, missing: list[str], scale: ScaleConfig) -> None:
    workers = scale.workers if scale.executor == "slurm" else scale.workers or _WORKERS
    if workers and scale.executor == "local":
        workers *= _TASKS_A_PROCESS
    tasks = give_out(out / TASKS, missing, workers)
    with watching(out, missing, "vectors"):
        run_tasks(scale, EmbedTask(SharedFolder(out.absolute())), tasks, str(out.absolute() / TASKS / "logs"))


@contextmanager
def watching(out: Path, names: Iterable[str], what: str) -> Iterator[None]:
    """Show how many shards are there while others compute them; `what` is what they hold."""
    stop, wanted = threading.Event(), set(names)

    def watch() -> None:
        with bar(what, len(wanted), " shards") as progress:
            while not stop.wait(_LOOK):
                there = wanted.intersection(file.name for file in out.iterdir())
                progress.update(len(there) - int(progress.n))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def run_tasks(scale: ScaleConfig, step: EmbedTask | CutTask, tasks: int, logs: str) -> None:
    """Run the tasks of a step and wait until they have ended; `logs` is a folder that the executor fills.

    Raises:
        UserError: an argument is none of the executor's, or tasks failed.
    """
    executor = _build(scale, step, tasks, logs)
    log.info("  %d tasks by datatrove's %s", tasks, type(executor).__name__)
    try:
        if scale.executor == "local":
            _run_local(executor)
        else:
            executor.run()
    except BrokenProcessPool as error:
        raise UserError(
            f"A process was killed, perhaps because memory did not suffice: try fewer --workers. {_AGAIN}"
        ) from error
    except subprocess.CalledProcessError as error:
        raise UserError(
            f"{error.cmd[0]} ended with exit code {error.returncode}: a task failed, and {logs} says why. {_AGAIN}"
        ) from error
    except FileNotFoundError as error:
        if error.filename != "sbatch":
            raise
        raise UserError("--executor slurm: there is no sbatch here. Run it where Slurm's commands are.") from error


def _build(scale: ScaleConfig, step: EmbedTask | CutTask, tasks: int, logs: str) -> Any:
    """Return datatrove's executor for the tasks, with the arguments that were asked for."""
    from datatrove import executor as engines
    from loguru import logger

    if scale.executor != "jobs":
        logger.disable("datatrove")  # what it says would stand in the progress bar
    kind: Any
    more: dict[str, Any] = {"workers": scale.workers or _WORKERS}
    if scale.executor == "local":
        kind = engines.LocalPipelineExecutor
    elif scale.executor == "ray":
        kind = engines.RayPipelineExecutor
    elif scale.executor == "slurm":
        kind, path = engines.SlurmPipelineExecutor, f'export PATH="{Path(sys.executable).parent}:$PATH"'
        # `sbatch --wait` returns when all tasks have ended, with the worst of their exit codes.
        more = {"workers": scale.workers or -1, "job_name": step.name, "env_command": path, "sbatch_args": {"wait": ""}}
    else:
        kind, package = engines.JobsPipelineExecutor, f"hub-tools[scale]=={versions()['hub-tools']}"
        more |= {"flavor": "a10g-small", "timeout": "12h", "job_name": step.name, "dependencies": [package]}
    own = {"pipeline": [step], "tasks": tasks, "logging_dir": logs, "skip_completed": False}
    _check_arguments(scale, kind, own.keys(), own.keys() | more.keys())
    asked = {name: value for name, value in scale.arguments.items() if name != STORAGE}
    try:
        return kind(**own, **{**more, **asked})
    except ValueError as error:
        raise UserError(f"--executor {scale.executor}: {error}") from error


def _check_arguments(scale: ScaleConfig, kind: Any, own: Collection[str], given: Collection[str]) -> None:
    parameters = {name: p for name, p in inspect.signature(kind).parameters.items() if name not in own}
    asked = scale.arguments.keys() - {STORAGE}
    for name in sorted(asked - parameters.keys()):
        raise UserError(f"--executor {scale.executor} takes no {name}; expected one of {', '.join(parameters)}.")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in {*asked, *given}:
            raise UserError(f"--executor {scale.executor} has to know {name}: give --executor-option {name}=VALUE.")


def _run_local(executor: Any) -> None:
    """Run all tasks in processes; datatrove's own pool would wait for ever for one that was killed."""
    context: Any = get_context("forkserver")
    context.set_forkserver_preload(["hub_tools.vectors.tasks", "sentence_transformers"])  # imported once for all
    with ProcessPoolExecutor(executor.workers, mp_context=context, initializer=_begin_process) as pool:
        try:
            for done in [pool.submit(_run_rank, executor, rank) for rank in range(executor.tasks)]:
                done.result()
        except BaseException:  # Ctrl-C too: no process outlives what started it
            pool.shutdown(wait=False, cancel_futures=True)
            for child in active_children():
                child.kill()
            raise


def _run_rank(executor: Any, rank: int) -> None:
    executor._run_for_rank(rank, rank)


def _begin_process() -> None:
    """Be silent, and end as soon as the process that started this one has ended, however it did."""
    from loguru import logger

    logger.disable("datatrove")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    parent = parent_process()

    def wait() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
