"""Training: what a step computes, in how many parts and processes, and what a crash costs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hub_tools.config import DistillConfig
from hub_tools.core.errors import UserError
from hub_tools.models.loading import token_rows
from hub_tools.training.trainer import default_rate, share_of_peak
from tests.training_job import STEPS, train, trainer

ROOT = Path(__file__).parent.parent
COMPILES = shutil.which("g++") and (Path(sysconfig.get_path("include")) / "Python.h").exists()
Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def plain(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """The last weights of a training that nothing happened to."""
    return trained(tiny_teacher, tmp_path_factory.mktemp("plain"))


def trained(model: Path, out: Path, **options: Any) -> Weights:
    train(model, out, **options)
    return last_weights(out)


def last_weights(out: Path) -> Weights:
    return load_file(out / "checkpoint" / "weights.safetensors")


def distance(a: Weights, b: Weights) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def run(*command: str, **environment: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_training_brings_the_vectors_nearer(tiny_teacher: Path, tmp_path: Path) -> None:
    job = trainer(tiny_teacher, tmp_path, steps=40)
    rows = np.arange(60)

    def cosine() -> float:
        with torch.no_grad():
            found = job._forward(job.data, rows, training=False)
        return float(torch.nn.functional.cosine_similarity(found, job._wanted(job.data, rows)).mean())

    before = cosine()
    job.train()
    assert cosine() > before + 0.3


@pytest.mark.parametrize("loss", ["cosine", "relational", "mse"])
def test_a_step_in_parts_is_the_same_step(loss: str, tiny_teacher: Path, tmp_path: Path) -> None:
    options = {"loss": loss, "matryoshka": (32, 8)}
    whole = trained(tiny_teacher, tmp_path / "whole", **options)
    for most in (64, 1):  # 1: every text alone
        parts = trained(tiny_teacher, tmp_path / f"parts-{most}", micro_batch_tokens=most, **options)
        assert distance(whole, parts) < 2e-4
    assert distance(whole, trained(tiny_teacher, tmp_path / "other", loss="cosine")) > 1e-3


@pytest.mark.parametrize("loss", ["cosine", "relational"])
def test_out_of_memory_halves_what_is_computed_at_once_and_changes_nothing_else(
    loss: str, tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = trained(tiny_teacher, tmp_path / "whole", loss=loss)
    job = trainer(tiny_teacher, tmp_path / "short", loss=loss)
    forward, sizes = job.model.forward, []

    def hungry(features: dict[str, torch.Tensor], **more: Any) -> Any:
        if torch.is_grad_enabled():
            sizes.append(features["input_ids"].numel())
            if sizes[-1] > 65:
                raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] not enough memory: you tried to allocate")
        return forward(features, **more)

    monkeypatch.setattr(job.model, "forward", hungry)
    monkeypatch.setattr("hub_tools.core.logging.log.propagate", True)
    job.train()
    assert len([size for size in sizes if size > 65]) == 2  # 246 -> 123 -> 61, once and for all
    assert "out of memory in step 1: from now on 61 tokens at a time" in caplog.text
    assert distance(whole, last_weights(tmp_path / "short")) < 2e-4


def test_out_of_memory_with_a_single_text_is_an_error(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = trainer(tiny_teacher, tmp_path)

    def hungry(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(job, "_backward", hungry)
    with pytest.raises(UserError, match=r"Out of memory with a single text of \d+ tokens in step 1"):
        job.train()


def test_heldout_texts_are_measured_in_halves_where_memory_does_not_suffice(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = trainer(tiny_teacher, tmp_path)
    wanted, forward, tried = job._heldout_cosine(), job.model.forward, []

    def hungry(features: dict[str, torch.Tensor], **more: Any) -> Any:
        tried.append(len(features["input_ids"]))
        if tried[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(features, **more)

    monkeypatch.setattr(job.model, "forward", hungry)
    assert job._heldout_cosine() == pytest.approx(wanted, abs=1e-6)
    assert max(tried) > 3


def test_other_errors_are_not_taken_for_lack_of_memory(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = trainer(tiny_teacher, tmp_path)

    def wrong(*_: Any, **__: Any) -> Any:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(job, "_backward", wrong)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        job.train()


def test_a_loss_that_is_not_finite_names_the_step_and_the_texts(tiny_teacher: Path, tmp_path: Path) -> None:
    job = trainer(tiny_teacher, tmp_path)
    bad = [number for number, batch in enumerate(job._epoch(0)) if 7 in batch]
    job.data.vectors[7] = np.inf
    text = job.model.tokenizer.decode(job.data.texts[7].tolist(), skip_special_tokens=True)
    with pytest.raises(UserError) as error:
        job.train()
    assert f"not finite in step {bad[0] + 1} with 1 texts, among them {text[:100]!r}" in str(error.value)


def test_weights_that_are_not_finite_name_the_step(tiny_teacher: Path, tmp_path: Path) -> None:
    job = trainer(tiny_teacher, tmp_path)
    with torch.no_grad():
        token_rows(job.model)[:] = torch.nan
    with pytest.raises(UserError, match=r"not finite in step 1 with [0-9]+ texts, among them '"):
        job.train()


def test_the_first_steps_may_move_the_token_embeddings_alone(tiny_teacher: Path, tmp_path: Path) -> None:
    job = trainer(
        tiny_teacher, tmp_path, embedding_only_steps=3, embedding_lr=0.02, warmup_ratio=0.0, schedule="linear"
    )
    moved = []
    for batch in job._batches():
        before = {name: weight.clone() for name, weight in job.model.state_dict().items()}
        job._take_step(batch)
        moved.append({name for name, weight in job.model.state_dict().items() if not torch.equal(weight, before[name])})
    rows = {name for name in moved[0] if "word_embeddings" in name}
    assert moved[:3] == [rows] * 3
    assert all(len(names) > 20 for names in moved[3:])
    rates = [job._rates(step) for step in range(STEPS)]
    assert rates[:3] == [(0.02, 0.0), (pytest.approx(0.04 / 3), 0.0), (pytest.approx(0.02 / 3), 0.0)]
    assert rates[3] == (0.01, pytest.approx(0.004))
    with pytest.raises(UserError, match="--embedding-only-steps 6 leaves none of the 6 steps"):
        trainer(tiny_teacher, tmp_path, embedding_only_steps=6)


def test_the_default_rate_falls_for_wide_models_short_trainings_and_near_clones(
    tiny_teacher: Path, tmp_path: Path
) -> None:
    assert [default_rate(384, steps, 0.8) for steps in (1200, 10**6)] == pytest.approx([1e-3, 1e-3])
    assert default_rate(768, 1200, -0.5) == pytest.approx(5e-4)
    assert default_rate(384, 75, 0.5) == pytest.approx(5e-4)
    assert default_rate(384, 1200, 0.9) == pytest.approx(5e-4)
    assert default_rate(384, 1200, 1.0) > 0
    job = trainer(tiny_teacher, tmp_path, learning_rate=None)
    assert job.rate == default_rate(32, STEPS, 0)
    job.train()
    job.history[0]["cosine"] = 0.9  # as if the clone had been so near
    assert job.rate == default_rate(32, STEPS, 0.9)
    assert trainer(tiny_teacher, tmp_path, learning_rate=0.5).rate == 0.5


def test_the_schedules_are_those_of_transformers() -> None:
    from transformers import get_scheduler

    weight = torch.nn.Parameter(torch.zeros(1))
    for kind in ("cosine", "linear"):
        optimizer = torch.optim.SGD([weight], lr=1.0)
        theirs = get_scheduler(kind, optimizer, num_warmup_steps=4, num_training_steps=40)
        for step in range(40):
            ours = share_of_peak(step, 40, DistillConfig(warmup_ratio=0.1, schedule=kind))
            assert ours == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
            optimizer.step()
            theirs.step()


def test_gradient_checkpointing_computes_the_layers_again_and_the_same(
    tiny_teacher: Path, tmp_path: Path, plain: Weights
) -> None:
    job = trainer(tiny_teacher, tmp_path, gradient_checkpointing=True)
    calls: list[bool] = []
    for part in job.model[0].auto_model.encoder.layer:
        part.attention.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    job._take_step(job._epoch(0)[0])
    assert len(calls) == 4  # two layers, twice
    assert distance(plain, trained(tiny_teacher, tmp_path, gradient_checkpointing=True)) < 1e-6


def test_a_step_is_small_on_a_cpu_unless_its_size_is_given(tiny_teacher: Path, tmp_path: Path) -> None:
    assert trainer(tiny_teacher, tmp_path, batch_tokens=None).batch_tokens == 1024
    assert trainer(tiny_teacher, tmp_path, batch_tokens=512).batch_tokens == 512


def test_dropout_is_off_unless_asked_for(tiny_teacher: Path, tmp_path: Path, plain: Weights) -> None:
    job = trainer(tiny_teacher, tmp_path)
    once, again = (job._forward(job.data, np.arange(5), training=True) for _ in range(2))
    assert torch.equal(once, again)
    blurred = trainer(tiny_teacher, tmp_path, dropout=True)
    once, again = (blurred._forward(blurred.data, np.arange(5), training=True) for _ in range(2))
    assert not torch.equal(once, again)
    once, again = (blurred._forward(blurred.data, np.arange(5), training=False) for _ in range(2))
    assert torch.equal(once, again)
    assert distance(plain, trained(tiny_teacher, tmp_path, dropout=True)) > 1e-3


def test_matryoshka_of_more_than_there_is_is_refused(tiny_teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--matryoshka 64: the teacher's vectors have only 32 numbers"):
        trainer(tiny_teacher, tmp_path, matryoshka=(64, 32))


def test_the_best_weights_become_the_student(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = trainer(tiny_teacher, tmp_path)
    cosines, states = iter([0.1, 0.5, 0.4, 0.3, 0.45]), []  # the last after blending

    def look() -> float:
        states.append({name: weight.clone() for name, weight in job.model.state_dict().items()})
        return next(cosines)

    monkeypatch.setattr(job, "_heldout_cosine", look)
    job.train()
    found = job.finish(tiny_teacher, 64)
    assert (found["best_step"], found["cosine_before"], found["cosine_after"]) == (2, 0.1, 0.45)
    saved = load_file(tmp_path / "model.safetensors")
    name = next(name for name in saved if "word_embeddings" in name)
    kept = next(weight for key, weight in states[1].items() if key.endswith(name))
    assert torch.equal(saved[name], kept)


def test_only_the_last_checkpoint_is_kept(tiny_teacher: Path, tmp_path: Path) -> None:
    trainer(tiny_teacher, tmp_path).train()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "checkpoint"]
    assert json.loads((tmp_path / "checkpoint" / "training.json").read_text())["step"] == STEPS


def test_a_replacement_that_was_cut_off_leaves_the_old_state(
    tiny_teacher: Path, tmp_path: Path, plain: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = trainer(tiny_teacher, tmp_path)
    rename = Path.rename

    def cut_off(path: Path, target: Path) -> Path:
        if job.step == 4 and path.name == "checkpoint.new":
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", cut_off)
        with pytest.raises(KeyboardInterrupt):
            job.train()
    assert not (tmp_path / "checkpoint").exists()
    again = trainer(tiny_teacher, tmp_path)
    again._resume()
    assert again.step == 2
    assert distance(plain, trained(tiny_teacher, tmp_path)) == 0


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_bits(tiny_teacher: Path, tmp_path: Path) -> None:
    whole = run(sys.executable, "-m", "tests.training_job", "kill", str(tiny_teacher), str(tmp_path / "whole"), "never")
    assert whole.split() == ["never", "0"]
    moments = ["step:0", "step:1", "best:2", "step:3", "rename:4", "step:5", "never"]
    said = run(sys.executable, "-m", "tests.training_job", "kill", str(tiny_teacher), str(tmp_path / "cut"), *moments)
    assert said.split() == [word for moment in moments for word in (moment, "0" if moment == "never" else "-9")]
    for name in ("model.safetensors", "checkpoint/weights.safetensors", "best/weights.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name
    first, second = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("whole", "cut"))
    assert first == second


@pytest.mark.slow
def test_two_processes_give_the_student_of_one(tiny_teacher: Path, tmp_path: Path, plain: Weights) -> None:
    kinds: list[dict[str, Any]] = [{}, {"loss": "relational", "matryoshka": [32, 8], "micro_batch_tokens": 64}]
    run(
        *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
        *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
        *("tests/training_job.py", "train", str(tiny_teacher), str(tmp_path / "two")),
        *map(json.dumps, kinds),
    )
    alone = trained(tiny_teacher, tmp_path / "alone", **{**kinds[1], "matryoshka": (32, 8)})
    assert distance(plain, last_weights(tmp_path / "two" / "0")) < 2e-4
    assert distance(alone, last_weights(tmp_path / "two" / "1")) < 2e-4


def test_tensorboard_is_written_step_by_step(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            assert (folder, purge_step) == (str(tmp_path / "tensorboard"), 1)

        def __enter__(self) -> Writer:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def add_scalar(self, name: str, value: float, step: int) -> None:
            assert np.isfinite(value)
            seen.append((name, step))

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    trainer(tiny_teacher, tmp_path, tensorboard=True).train()
    assert [step for name, step in seen if name == "loss"] == [1, 2, 3, 4, 5, 6]
    assert [step for name, step in seen if name == "cosine"] == [2, 4, 6]


def test_tensorboard_that_is_missing_is_said(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        trainer(tiny_teacher, tmp_path, tensorboard=True).train()


@pytest.mark.slow
@pytest.mark.skipif(not COMPILES, reason="needs g++ and Python's headers")
def test_compiled_layers_compute_the_same(tiny_teacher: Path, tmp_path: Path, plain: Weights) -> None:
    from torch._dynamo.utils import counters

    counters.clear()
    assert distance(plain, trained(tiny_teacher, tmp_path, compile=True)) < 2e-4
    assert counters["stats"]["unique_graphs"] > 0


@pytest.mark.slow
def test_without_a_compiler_compile_is_one_clear_error(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor import config as inductor

    torch.compiler.reset()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(UserError, match="--compile: torch could not compile the model"):
        trainer(tiny_teacher, tmp_path, compile=True).train()
