"""Commands as a user types them: in this process, which is fast, or in one of their own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

# A token that no output, file or card may ever hold.
CANARY = "hf_canaryDoNotShowThisToAnyone"
PROGRAM = [sys.executable, "-c", "from hub_tools.cli import run; run()"]


@dataclass(frozen=True)
class Result:
    """How a command ended and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


@contextmanager
def environment(**env: str) -> Iterator[None]:
    """Set environment variables, and what huggingface_hub and datasets read from them when they were imported.

    HF_ENDPOINT cannot be changed this way, and HF_HUB_DISABLE_XET=0 needs a process of its own, because hf_xet reads
    its settings only once.
    """
    assert env.get("HF_ENDPOINT", os.environ["HF_ENDPOINT"]) == os.environ["HF_ENDPOINT"]
    assert env.get("HF_HUB_DISABLE_XET") != "0"
    import datasets.config
    from huggingface_hub import constants
    from huggingface_hub.utils import _auth

    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        home, offline = Path(os.environ["HF_HOME"]), os.environ["HF_HUB_OFFLINE"] == "1"
        for name, value in {
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
            "HF_HUB_OFFLINE": offline,
            "HF_HUB_DISABLE_XET": True,
        }.items():
            patch.setattr(constants, name, value)
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", offline)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "datasets")
        patch.setattr(_auth, "_OIDC_TOKEN_CACHE", None)
        yield


def hub_distill(*args: str, cwd: Path, **env: str) -> Result:
    """Run `hub-distill` in this process; an exception that it does not explain fails the test."""
    from hub_tools.cli import run

    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with environment(**env), pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["hub-distill", *args])
        sleep = time.sleep
        # Long waits are only noted down.
        patch.setattr(time, "sleep", lambda s: sleep(s) if s < 1 else sys.stderr.write(f"waited {s}\n"))
        try:
            run()
        except SystemExit as end:
            assert isinstance(end.code, int)
            code = end.code
    return _without_token(Result(code, stdout.getvalue(), stderr.getvalue()))


def hub_distill_process(*args: str, cwd: Path, **env: str) -> Result:
    """Run `hub-distill` in a process of its own."""
    return finish([*PROGRAM, *args], cwd=cwd, **env)


def finish(command: list[str], *, cwd: Path, **env: str) -> Result:
    """Run any command in a process of its own."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=600, check=False
    )
    return _without_token(Result(done.returncode, done.stdout, done.stderr))


def _without_token(result: Result) -> Result:
    assert CANARY not in result.stdout + result.stderr
    return result


def succeeded(result: Result) -> None:
    assert result.returncode == 0, result.stderr


def refused(result: Result, *words: str, code: int = 1) -> None:
    """One clear message, the right exit code, never a traceback."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert [word for word in words if word not in result.stderr] == [], result.stderr
