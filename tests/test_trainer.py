"""Training: what the loop does step by step, and what a crash costs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules

from hub_tools.config import DistillConfig
from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware
from hub_tools.models.loading import load_model, token_rows
from hub_tools.results import Agreement
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.training.schedule import default_learning_rate
from hub_tools.training.trainer import Trainer, check_matryoshka
from tests.training_job import CONFIG, CPU, STEPS, finish, train, trainer, training_set

ROOT = Path(__file__).parent.parent
RELATIONAL: dict[str, Any] = {"loss": "relational", "matryoshka": (32, 8), "micro_batch_tokens": 64}
Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def plain(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """The last weights of a training that nothing happened to."""
    out = tmp_path_factory.mktemp("plain")
    trainer(tiny_teacher, out).train()
    return last_weights(out)


def last_weights(out: Path) -> Weights:
    return load_file(out / "checkpoint" / "weights.safetensors")


def distance(a: Weights, b: Weights) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def run(*command: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_training_brings_the_vectors_nearer(tiny_teacher: Path, tmp_path: Path) -> None:
    job = trainer(tiny_teacher, tmp_path, steps=40, eval_steps=40)
    job.train()
    before, after = (entry["cosine"] for entry in job.history)
    assert after > before + 0.3


def test_heldout_texts_are_measured_in_halves_where_memory_does_not_suffice(tiny_teacher: Path, tmp_path: Path) -> None:
    job = trainer(tiny_teacher, tmp_path)
    expected, forward, tried = job.measure_heldout(), job.student.model.forward, []

    def hungry(features: dict[str, torch.Tensor], **more: Any) -> Any:
        tried.append(len(features["input_ids"]))
        if tried[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(features, **more)

    job.student.model.forward = hungry
    assert asdict(job.measure_heldout()) == pytest.approx(asdict(expected), abs=1e-6)
    assert max(tried) > 3


def test_a_loss_that_is_not_finite_names_the_step_and_the_texts(tiny_teacher: Path, tmp_path: Path) -> None:
    job = trainer(tiny_teacher, tmp_path)
    bad = [number for number, batch in enumerate(job.epoch(0)) if 7 in batch]
    job.train_set.targets[7] = torch.inf
    text = job.student.model.tokenizer.decode(job.train_set.texts[7].tolist(), skip_special_tokens=True)
    with pytest.raises(UserError) as error:
        job.train()
    assert f"not finite in step {bad[0] + 1} with 1 texts, among them {text[:100]!r}" in str(error.value)


def test_weights_that_are_not_finite_name_the_step(tiny_teacher: Path, tmp_path: Path) -> None:
    job = trainer(tiny_teacher, tmp_path)
    with torch.no_grad():
        job.student.token_embeddings[:] = torch.nan
    with pytest.raises(UserError, match=r"not finite in step 1 with [0-9]+ texts, among them '"):
        job.train()


def test_the_first_steps_may_move_the_token_embeddings_alone(tiny_teacher: Path, tmp_path: Path) -> None:
    job = trainer(tiny_teacher, tmp_path, embedding_only_steps=3, warmup_ratio=0.0)
    moved = []
    for batch in job.batches():
        before = {name: weight.clone() for name, weight in job.student.model.state_dict().items()}
        job.take_step(batch)
        after = job.student.model.state_dict()
        moved.append({name for name, weight in after.items() if not torch.equal(weight, before[name])})
    embeddings = {name for name in moved[0] if "word_embeddings" in name}
    assert moved[:3] == [embeddings] * 3
    assert all(len(names) > 20 for names in moved[3:])


def test_the_default_learning_rate_depends_on_how_near_the_clone_is(tiny_teacher: Path, tmp_path: Path) -> None:
    job = trainer(tiny_teacher, tmp_path, learning_rate=None)
    job.evaluate_and_checkpoint()
    assert job.learning_rate == default_learning_rate(32, STEPS, job.history[0]["cosine"])
    job.history[0]["cosine"] = 0.9
    assert job.learning_rate == default_learning_rate(32, STEPS, 0.9)
    assert trainer(tiny_teacher, tmp_path, learning_rate=0.5).learning_rate == 0.5


def test_a_step_is_small_on_a_cpu_unless_its_size_is_given(tiny_teacher: Path, tmp_path: Path) -> None:
    assert trainer(tiny_teacher, tmp_path, batch_tokens=None).batch_tokens == 1024
    assert trainer(tiny_teacher, tmp_path, batch_tokens=512).batch_tokens == 512


def test_options_that_cannot_work_are_refused_as_soon_as_that_is_known(tiny_teacher: Path, tmp_path: Path) -> None:
    one_epoch: dict[str, Any] = {"steps": None, "epochs": 1.0}
    steps = len(trainer(tiny_teacher, tmp_path).epoch(0))
    with pytest.raises(UserError, match=f"--embedding-only-steps {steps} leaves none of the {steps} steps"):
        trainer(tiny_teacher, tmp_path, **one_epoch, embedding_only_steps=steps).train()
    check_matryoshka((64, 32), 64)
    with pytest.raises(UserError, match="--matryoshka 64: the teacher's vectors have only 32 numbers"):
        trainer(tiny_teacher, tmp_path, matryoshka=(64, 32))


def test_a_clone_near_its_goal_is_trained_shortly_and_keeps_all_that_it_learns(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_tools.training.schedule.NEAR_STEPS", 3)
    options: dict[str, Any] = {"steps": None, "epochs": None, "learning_rate": 1e-3}
    far, near = (trainer(tiny_teacher, tmp_path / name, **options) for name in ("far", "near"))
    rising = (Agreement(cosine=0.98 + number / 1000, ranks=1, neighbours=1, spread=1) for number in count())
    near.measure_heldout = lambda: next(rising)
    far.evaluate_and_checkpoint()
    assert not far.is_near and far.steps == 3 * len(far.epoch(0)) > 3
    near.train()
    assert near.is_near and near.steps == near.step == 3
    before, after = token_rows(load_model(tiny_teacher, device="cpu")), near.student.token_embeddings.detach().clone()
    finish(near, tiny_teacher)
    saved = load_file(tmp_path / "near" / "model.safetensors")
    embeddings = next(weight for name, weight in saved.items() if "word_embeddings" in name)
    assert torch.equal(embeddings, after) and not torch.equal(before, after)


def test_the_best_weights_become_the_student(tiny_teacher: Path, tmp_path: Path) -> None:
    job = trainer(tiny_teacher, tmp_path)
    cosines, states = iter([0.1, 0.5, 0.4, 0.3, 0.45]), []  # the last after interpolation

    def measure() -> Agreement:
        states.append(job.student.token_embeddings.detach().clone())
        return Agreement(cosine=next(cosines), ranks=len(states) / 10, neighbours=0, spread=1)

    job.measure_heldout = measure
    job.train()
    result = finish(job, tiny_teacher)
    assert (result.best_step, result.cosine_before, result.cosine_after) == (2, 0.1, 0.45)
    saved = load_file(tmp_path / "model.safetensors")
    embeddings = next(weight for name, weight in saved.items() if "word_embeddings" in name)
    assert torch.equal(embeddings, states[1])


def test_without_heldout_text_the_last_weights_become_the_student_and_no_cosine_is_reported(
    tiny_teacher: Path, tmp_path: Path
) -> None:
    job = trainer(tiny_teacher, tmp_path, heldout=0, learning_rate=None)
    job.train()
    result = finish(job, tiny_teacher)
    assert (result.best_step, result.cosine_before, result.cosine_after) == (STEPS, None, None)
    assert result.learning_rate == default_learning_rate(32, STEPS, None)
    training = json.loads((tmp_path / "training.json").read_text(), parse_constant=pytest.fail)
    assert (training["heldout_texts"], training["agreement"]["student"]) == (0, None)
    assert [entry["cosine"] for entry in training["history"]] == [None] * 4
    assert distance(last_weights(tmp_path), load_file(tmp_path / "best" / "weights.safetensors")) == 0


def test_only_the_last_checkpoint_is_kept(tiny_teacher: Path, tmp_path: Path) -> None:
    trainer(tiny_teacher, tmp_path).train()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "checkpoint"]
    assert json.loads((tmp_path / "checkpoint" / "training.json").read_text())["step"] == STEPS


def stop_after(job: Any, steps: int) -> None:
    """Train until a step, in whose middle the training ends."""
    step = job.optimizer.step

    def stop() -> Any:
        if job.step == steps:
            raise KeyboardInterrupt
        return step()

    job.optimizer.step = stop
    with pytest.raises(KeyboardInterrupt):
        job.train()


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"gradient_checkpointing": True}, 0),
        ({"micro_batch_tokens": CONFIG["batch_tokens"]}, 0),
        ({"micro_batch_tokens": 64}, 2e-4),
    ],
)
def test_a_training_may_continue_with_other_options_of_how_it_is_computed(
    options: dict[str, Any], tolerance: float, tiny_teacher: Path, tmp_path: Path, plain: Weights
) -> None:
    stop_after(trainer(tiny_teacher, tmp_path), 3)
    job = trainer(tiny_teacher, tmp_path, **options)
    job.resume()
    assert job.step == 2
    job.train()
    assert distance(plain, last_weights(tmp_path)) <= tolerance


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
    again.resume()
    assert again.step == 2
    again.train()
    assert distance(plain, last_weights(tmp_path)) == 0


def test_killed_at_any_moment_it_continues_to_the_same_bits(tiny_teacher: Path, tmp_path: Path) -> None:
    moments = ["step:0", "step:1", "best:2", "step:3", "rename:4", "step:5", "never"]
    said = run(sys.executable, "-m", "tests.training_job", "kill", str(tiny_teacher), str(tmp_path), *moments)
    ends = {moment: "0" if moment == "never" else "-9" for moment in moments}
    assert said.split() == ["never", "0", *(word for end in ends.items() for word in end)]
    for name in ("model.safetensors", "checkpoint/weights.safetensors", "best/weights.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name
    first, second = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("whole", "cut"))
    assert first == second


@pytest.fixture(scope="module")
def two_processes(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes wrote, each started by a command of its own, as on two machines that see one disk."""
    out = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = ["--main_process_ip", "127.0.0.1", "--main_process_port", str(free.getsockname()[1])]

    def machine(rank: int) -> str:
        return run(
            *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
            *("--num_machines", "2", "--machine_rank", str(rank), *address),
            *("--mixed_precision", "no", "--dynamo_backend", "no"),
            *("tests/training_job.py", "train", str(tiny_teacher), str(out), "{}", json.dumps(RELATIONAL)),
        )

    with ThreadPoolExecutor() as both:
        list(both.map(machine, (0, 1)))
    return out


def test_two_processes_give_the_student_of_one(
    tiny_teacher: Path, tmp_path: Path, plain: Weights, two_processes: Path
) -> None:
    assert distance(plain, last_weights(two_processes / "0")) < 2e-4
    train(tiny_teacher, tmp_path, **RELATIONAL)
    assert distance(last_weights(tmp_path), last_weights(two_processes / "1")) < 2e-4


def test_processes_share_sums_and_what_the_main_one_found(two_processes: Path) -> None:
    first, second = (json.loads((two_processes / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first["gradients"] == [[3.0, 3.0], [1.0, 1.0, 1.0]]
    assert (first["any"], first["sum"], first["from main"]) == ([True, False], 0.5, "rank 0")


@pytest.fixture
def scalars(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, float]]:
    """What is written for TensorBoard."""
    written: list[tuple[str, int, float]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            written.append((folder, purge_step, 0.0))

        def __enter__(self) -> Writer:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, step, value))

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    return written


def test_tensorboard_is_written_step_by_step_and_changes_nothing(
    tiny_teacher: Path, tmp_path: Path, plain: Weights, scalars: list[tuple[str, int, float]]
) -> None:
    trainer(tiny_teacher, tmp_path, tensorboard=True).train()
    assert scalars[0][:2] == (str(tmp_path / "tensorboard"), 1)
    assert [step for name, step, _ in scalars if name == "loss"] == [1, 2, 3, 4, 5, 6]
    assert [step for name, step, _ in scalars if name == "cosine"] == [2, 4, 6]
    assert all(abs(value) < float("inf") for _, _, value in scalars)
    assert distance(plain, last_weights(tmp_path)) == 0


def test_tensorboard_that_is_missing_is_said(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        trainer(tiny_teacher, tmp_path, tensorboard=True).train()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_rows_that_are_stored_in_fp16_are_trained_in_fp32(
    precision: str, minilm_files: TokenizerSpec, tmp_path: Path
) -> None:
    rows = torch.randn(len(minilm_files.vocab), 32, generator=torch.Generator().manual_seed(0))
    first = modules.StaticEmbedding(minilm_files.load(), embedding_weights=rows.half())
    SentenceTransformer(modules=[first], device="cpu").save(str(tmp_path / "static"), create_model_card=False)
    assert load_file(tmp_path / "static" / "model.safetensors")["embedding.weight"].dtype == (torch.float16)
    job = Trainer(
        load_model(tmp_path / "static", device="cpu"),
        training_set(60),
        training_set(60),
        tmp_path / "out",
        DistillConfig(**CONFIG),
        hardware=Hardware(device="cpu", precision=precision),
        seed=3,
    )
    job.train()
    moments = [value for state in job.optimizer.state.values() for value in state.values()]
    assert len(moments) >= 3
    assert {value.dtype for value in (*job.student.model.parameters(), *moments)} == {torch.float32}
    assert job.history[-1]["cosine"] > job.history[0]["cosine"]


def test_a_model_in_halves_is_not_trained(tiny_teacher: Path, tmp_path: Path) -> None:
    model = load_model(tiny_teacher, device="cpu").half()
    with pytest.raises(TypeError, match="have to be fp32 in training"):
        Trainer(model, training_set(6), training_set(6), tmp_path, DistillConfig(**CONFIG), hardware=CPU, seed=3)
