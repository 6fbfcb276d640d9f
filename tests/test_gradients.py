"""Gradients of a batch: the same in how many parts, processes and attempts they are computed."""

from __future__ import annotations

import logging
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from hub_tools.config import DistillConfig
from hub_tools.core.distributed import Processes
from hub_tools.core.errors import UserError
from hub_tools.models.loading import load_model
from hub_tools.training.data import TokenizedTexts
from hub_tools.training.gradients import GradientComputer
from hub_tools.training.student import Student
from tests.training_job import CPU, training_set

DATA = training_set(20)
BATCH = np.argsort(DATA.texts.lengths, kind="stable")
TARGETS = torch.from_numpy(DATA.targets[BATCH].astype(np.float32))
WHOLE = 10_000
COMPILES = shutil.which("g++") and (Path(sysconfig.get_path("include")) / "Python.h").exists()
Make = Callable[..., Student]


@pytest.fixture(scope="module")
def make(tiny_teacher: Path) -> Make:
    """Make a student with options of the training; all but those with gradient checkpointing share one model."""
    shared = load_model(tiny_teacher, device="cpu")

    def student(**options: Any) -> Student:
        config = DistillConfig(**options)
        model = load_model(tiny_teacher, device="cpu") if config.gradient_checkpointing else shared
        return Student(model, config, CPU)

    return student


@dataclass
class Hungry:
    """A student that runs out of memory where too many tokens learn at once."""

    student: Student
    limit: int
    error: Exception
    tried: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model, self.device = self.student.model, self.student.device

    def __call__(self, texts: TokenizedTexts, numbers: NDArray[np.int64], *, training: bool) -> torch.Tensor:
        if training:
            self.tried.append(int(texts.lengths[numbers].sum()))
            if self.tried[-1] > self.limit:
                raise self.error
        return self.student(texts, numbers, training=training)


def computer(student: Any, micro_batch_tokens: int = WHOLE, **options: Any) -> GradientComputer:
    return GradientComputer(student, DistillConfig(**options), micro_batch_tokens=micro_batch_tokens, seed=3)


def gradients(job: GradientComputer, step: int = 0) -> torch.Tensor:
    """All gradients of a batch and its loss as one vector."""
    loss = job.forward_backward(DATA.texts, BATCH, TARGETS, step=step)
    parameters = list(job.student.model.parameters())
    flat = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    return torch.cat([torch.tensor([loss]), *flat])


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / a.norm())


@pytest.mark.parametrize("loss", ["cosine", "relational", "mse"])
def test_micro_batches_give_the_gradients_of_the_whole_batch(loss: str, make: Make) -> None:
    options = {"loss": loss, "matryoshka": (32, 8)}
    student = make()
    whole = gradients(computer(student, **options))
    for micro_batch_tokens in (64, 1):  # 1: every text alone
        assert distance(whole, gradients(computer(student, micro_batch_tokens, **options))) < 1e-5
    other = gradients(computer(student, loss="mse" if loss == "cosine" else "cosine"))
    assert distance(whole, other) > 0.1


def test_the_processes_divide_a_batch_into_micro_batches_that_fit(make: Make) -> None:
    lengths, numbers = np.full(9, 8), []
    for rank in (0, 1):
        processes = Processes(rank=rank, world_size=2)
        job = GradientComputer(make(), DistillConfig(), micro_batch_tokens=16, seed=0, processes=processes)
        parts = job.micro_batches(lengths)
        assert max(map(len, parts)) == 2
        numbers.append(np.concatenate(parts).tolist())
    assert numbers == [[0, 2, 4, 6, 8], [1, 3, 5, 7]]


@pytest.mark.parametrize("loss", ["cosine", "relational"])
def test_out_of_memory_halves_what_is_computed_at_once_and_changes_nothing_else(
    loss: str, make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_tools.core.logging.log.propagate", True)
    caplog.set_level(logging.WARNING)
    error = RuntimeError("[enforce fail at alloc_cpu.cpp:117] not enough memory: you tried to allocate")
    student = Hungry(make(), 150, error)
    job = computer(student, loss=loss)
    assert distance(gradients(computer(make(), loss=loss)), gradients(job)) < 1e-5
    assert len([size for size in student.tried if size > 150]) == 2  # 600 padded tokens, then 300
    gradients(job, step=1)
    assert len([size for size in student.tried if size > 150]) == 2
    assert job.micro_batch_tokens == 150
    assert "out of memory in step 1: from now on 150 tokens at a time" in caplog.text


def test_out_of_memory_with_a_single_text_is_an_error(make: Make) -> None:
    job = computer(Hungry(make(), 0, torch.OutOfMemoryError("CUDA out of memory.")))
    with pytest.raises(UserError, match=r"Out of memory with a single text of \d+ tokens in step 1"):
        gradients(job)


def test_other_errors_are_not_taken_for_lack_of_memory(make: Make) -> None:
    student = Hungry(make(), 0, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        gradients(computer(student))
    assert len(student.tried) == 1


def test_dropout_is_off_unless_asked_for(make: Make) -> None:
    numbers = np.arange(5)
    exact, blurred = make()(DATA.texts, numbers, training=True), make(dropout=True)
    assert torch.equal(exact, make()(DATA.texts, numbers, training=True))
    assert not torch.equal(exact, blurred(DATA.texts, numbers, training=True))
    assert torch.equal(exact, blurred(DATA.texts, numbers, training=False))


def test_dropout_depends_on_the_step_alone_and_leaves_the_random_numbers_of_others_alone(make: Make) -> None:
    job = computer(make(dropout=True))
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first = gradients(job)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert torch.equal(gradients(job), first)
    assert distance(first, gradients(job, step=1)) > 1e-3


def test_gradient_checkpointing_computes_the_layers_again_and_the_same(make: Make) -> None:
    student, calls = make(gradient_checkpointing=True), []
    for layer in student.model[0].auto_model.encoder.layer:
        layer.attention.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    assert torch.equal(gradients(computer(make())), gradients(computer(student)))
    assert len(calls) == 4  # two layers, twice


@pytest.fixture
def one_layer(tiny_teacher: Path) -> Iterator[SentenceTransformer]:
    """A small model, because compiling takes long."""
    torch.compiler.reset()
    model = load_model(tiny_teacher, device="cpu")
    del model[0].auto_model.encoder.layer[1:]
    yield model
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.skipif(not COMPILES, reason="needs g++ and Python's headers")
def test_compiled_layers_compute_the_same(one_layer: SentenceTransformer) -> None:
    from torch._dynamo.utils import counters

    def computed(**options: Any) -> list[torch.Tensor]:
        student = Student(one_layer, DistillConfig(**options), CPU)
        return [gradients(computer(student, size)) for size in (WHOLE, 200)]

    plain = computed()
    counters.clear()
    compiled = computed(compile=True)
    assert counters["stats"]["unique_graphs"] == 1  # for all shapes
    assert all(distance(*pair) < 1e-4 for pair in zip(plain, compiled, strict=True))


@pytest.mark.slow
def test_without_a_compiler_compile_is_one_clear_error(
    one_layer: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor import config as inductor

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    student = Student(one_layer, DistillConfig(compile=True), CPU)
    with torch.inference_mode(), pytest.raises(UserError, match="--compile: torch could not compile the model"):
        student(DATA.texts, BATCH, training=False)
