"""`hub-distill jobs`: the same job on a machine of Hugging Face Jobs."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

from hub_tools.config import RunConfig
from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.fields import FILE, MODEL
from hub_tools.core.files import user_path
from hub_tools.hub.repos import repo_ids
from hub_tools.options import OPTIONS, Option
from hub_tools.reporting.redact import is_path


def job_command(words: tuple[str, ...], *, flavor: str | None, timeout: str | None) -> list[str]:
    """Return the arguments of `hf` that submit a job with these options; the script has defaults of the other two."""
    chosen = [word for name, value in (("--flavor", flavor), ("--timeout", timeout)) if value for word in (name, value)]
    script = str(resources.files("hub_tools") / "job_script.py")
    # `hf` sends along files that are words of their own: --name=value becomes two.
    apart = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    # Behind -- nothing is taken for an option of hf, which has a --name too.
    return ["jobs", "uv", "run", "--detach", *chosen, "--", script, *apart]


def check_remote(config: RunConfig) -> None:
    """Make sure that another machine can do the job.

    Raises:
        UsageError: nothing is pushed, so the result would be lost; or the executor needs a cluster.
        UserError: an option names something on this machine that `hf` does not send along.
    """
    if config.publish.namespace is None:
        raise UsageError("A job's machine is gone when it ends: give --push-to-hub NAMESPACE, where its results go.")
    if config.scale.executor in ("slurm", "ray"):
        raise UsageError(f"--executor {config.scale.executor}: a Job belongs to no cluster. Expected jobs or local.")
    repo_ids(config)
    for option in (option for option in OPTIONS if option.may_be_local):
        value = option.of(config)
        for name in value if option.is_repeatable else filter(None, [value]):
            if _stays_here(option, name):
                raise UserError(
                    f"{name} is on this machine, and a job on the Hub cannot see it. Give single files, or a model or "
                    "dataset of the Hub, or run the job here."
                )


def _stays_here(option: Option, name: str) -> bool:
    """Return whether a value names something that only this machine has: `hf` sends along single files alone."""
    if option.metavar == MODEL:
        return user_path(name).exists()
    is_local = option.metavar == FILE or is_path(name) or user_path(name).is_dir()
    return is_local and not Path(name).is_file()


def run_hf(command: list[str]) -> None:
    """Run `hf` with these arguments; it logs in, submits and reports by itself.

    Raises:
        UserError: it failed; it has said why on stderr.
    """
    program = [sys.executable, "-P", "-m", "huggingface_hub.cli.hf"]
    done = subprocess.run([*program, *command], check=False)  # noqa: S603 - words that no shell reads
    if done.returncode != 0:
        raise UserError(f"hf ended with exit code {done.returncode}; what it said stands above.")
