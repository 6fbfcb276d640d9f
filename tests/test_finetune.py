"""Training with labels: what is trained on, what decides, and that nothing is lost when it is cut off."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hub_tools.config import RunConfig
from hub_tools.config_finetune import FinetuneConfig
from hub_tools.core.errors import UserError
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.contamination import EvaluationTexts
from hub_tools.corpus.readers import sample_file
from hub_tools.evaluation.subject import Subject
from hub_tools.finetuning import losses
from hub_tools.finetuning.data import Labelled, read_labelled
from hub_tools.finetuning.dev import Dev
from hub_tools.finetuning.finetune import Models, finetune, outcome_of
from hub_tools.finetuning.parts import InParts
from hub_tools.models.loading import load_model
from tests.commands import hub_distill, succeeded
from tests.test_distill import embeddings
from tests.test_finetune_data import read, table
from tests.training_job import CPU

FEW = {"batch_size": 8, "learning_rate": 1e-3, "anchors": 4, "shares": (0.5, 1.0)}


def test_the_temperature_follows_how_much_the_teachers_cosines_differ() -> None:
    random = np.random.default_rng(0)
    wide = random.normal(size=(400, 100))  # cosines of a deviation of 0.1
    assert losses.temperature_of(wide) == pytest.approx(0.05, abs=0.002)
    narrow = wide + 1.5  # all vectors near each other
    assert 0.01 <= losses.temperature_of(narrow) < 0.025


def test_the_weight_of_anchors_falls_and_their_loss_is_the_distance_to_the_vectors(tiny_teacher: Path) -> None:
    model = load_model(tiny_teacher, device="cpu")
    texts = ["one text", "another text"]
    vectors = -model.encode(texts)
    anchors = losses.Anchors(texts=texts, vectors=vectors, count=2, weight=8.0)
    assert [anchors.weight_at(step, 8) for step in (0, 7)] == [8.0, 1.0]
    # The vectors point the other way: 1 - cosine is 2.
    assert float(anchors.loss(model, 0, 8)) == pytest.approx(16.0, rel=1e-4)
    assert not losses.Anchors(texts=texts, vectors=vectors, count=2, weight=0.0).is_used


def test_a_batch_in_parts_has_the_same_gradients(tiny_teacher: Path) -> None:
    texts = ["short", "a text of some more words than the other", "three small words", "a " * 40]
    gradients = []
    for tokens in (None, 16):
        model = load_model(tiny_teacher, device="cpu")
        parts = InParts(model, CPU, tokens)
        vectors = model(model.preprocess(texts))["sentence_embedding"]
        (vectors * torch.arange(vectors.numel()).reshape(vectors.shape)).sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        parts.remove()
        assert np.allclose(vectors.detach(), model.encode(texts), atol=1e-5)
    assert gradients[0].keys() == gradients[1].keys() != set()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-4)


def sample_sts() -> Labelled:
    return read(sts=(str(sample_file("sts.tsv")),))


@cache
def empty() -> EvaluationTexts:
    return EvaluationTexts([])


def train(tiny_teacher: Path, folder: Path, labelled: list[Labelled], name: str = "out", **options: Any) -> Any:
    """Train the tiny teacher as if it were a student, and return what was done."""
    if not (folder / "data").exists():
        embeddings(folder / "data")
    from hub_tools.vectors.dataset import EmbeddingDataset

    out = folder / name
    out.mkdir(exist_ok=True)
    return finetune(
        tiny_teacher,
        Subject(lambda: load_model(tiny_teacher, device="cpu"), CPU),
        Corpus.empty(),
        EmbeddingDataset(folder / "data"),
        labelled,
        out=out,
        config=FinetuneConfig(**{**FEW, **options}),
        targets=("tr",),
        evaluation=empty(),
        hardware=CPU,
        seed=1,
    )


@pytest.fixture
def agreeable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures that rise with the distance to the first model that is measured: every training is taken."""
    starts: list[Any] = []

    def measure(self: Dev, model: Any) -> dict[str, float]:
        weights = torch.cat([p.detach().flatten() for p in model.parameters()])
        starts.append(weights)
        return {"all": round(float((weights - starts[0]).norm()), 4)}

    monkeypatch.setattr(Dev, "measure", measure)


@pytest.mark.usefixtures("agreeable")
def test_a_training_that_is_taken_changes_the_model_and_the_average_lies_between(
    tiny_teacher: Path, tmp_path: Path
) -> None:
    result = train(tiny_teacher, tmp_path, [sample_sts()])
    (step,) = result.skills
    assert (step.taken, step.share, step.lowered, result.taken, result.supervised) == (True, 1.0, {}, ["sts"], ["sts"])
    assert step.steps == 12
    half = train(tiny_teacher, tmp_path, [sample_sts()], "half", shares=(0.5,))
    assert half.skills[0].share == 0.5
    before, after, between = (
        load_file(folder / "model.safetensors") for folder in (tiny_teacher, tmp_path / "out", tmp_path / "half")
    )
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved
    for name in moved:
        torch.testing.assert_close(between[name], (before[name] + after[name]) / 2, rtol=0, atol=1e-6)


def test_a_training_that_lowers_a_measure_is_not_taken_and_says_so(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([{"a": 50.0, "b": 50.0}, {"a": 90.0, "b": 49.4}, {"a": 95.0, "b": 48.0}])
    monkeypatch.setattr(Dev, "measure", lambda self, model: next(found))
    result = train(tiny_teacher, tmp_path, [sample_sts()])
    (step,) = result.skills
    assert (step.taken, step.share, step.lowered) == (False, 1.0, {"b": -2.0})
    assert outcome_of(step, {"a": 50.0, "b": 50.0}) == ("sts: not taken, because it lowers b by 2.0 at 1 of its change")
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_teacher, tmp_path / "out"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert result.after == result.before == {"a": 50.0, "b": 50.0}


def test_the_smallest_loss_that_is_allowed_is_half_a_point(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([{"a": 50.0, "b": 50.0}, {"a": 60.0, "b": 49.5}, {"a": 95.0, "b": 49.4}])
    monkeypatch.setattr(Dev, "measure", lambda self, model: next(found))
    (step,) = train(tiny_teacher, tmp_path, [sample_sts()]).skills
    assert (step.taken, step.share, step.lowered) == (True, 0.5, {})


def test_a_later_skill_may_cost_part_of_what_an_earlier_one_brought(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = ",".join(str(sample_file(f"retrieval-{side}.tsv")) for side in ("questions", "passages"))
    labelled = [*read_labelled(FinetuneConfig(retrieval=(search,)), ("tr",)), sample_sts()]
    found = iter([{"a": 50.0, "b": 50.0}, {"a": 53.0, "b": 50.0}, {"a": 52.0, "b": 60.0}])
    monkeypatch.setattr(Dev, "measure", lambda self, model: next(found))
    assert train(tiny_teacher, tmp_path, labelled, shares=(1.0,)).taken == ["retrieval", "sts"]


def test_a_share_of_what_a_training_changed_is_added_to_what_is_there() -> None:
    student, before, trained = ({"w": torch.tensor([value])} for value in (1.0, 4.0, 9.0))
    found = list(Models(student, before).sums(trained, (0.25, 1.0)))
    assert [(share, float(weights["w"])) for share, weights in found] == [(0.25, 6.0), (1.0, 12.0)]


@pytest.mark.usefixtures("agreeable")
def test_each_training_begins_with_the_distilled_student(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "temperature_of", lambda vectors: 0.05)  # whatever there is to keep
    search = ",".join(str(sample_file(f"retrieval-{side}.tsv")) for side in ("questions", "passages"))
    labelled = [*read_labelled(FinetuneConfig(retrieval=(search,)), ("tr",)), sample_sts()]
    both = train(tiny_teacher, tmp_path, labelled, "both", shares=(1.0,), anchors=0)
    assert both.taken == ["retrieval", "sts"]
    train(tiny_teacher, tmp_path, labelled[:1], "search", shares=(1.0,), anchors=0)
    train(tiny_teacher, tmp_path, labelled[1:], "similarity", shares=(1.0,), anchors=0)
    start, one, two, found = (
        load_file(folder / "model.safetensors")
        for folder in (tiny_teacher, *(tmp_path / name for name in ("search", "similarity", "both")))
    )
    for name, weight in start.items():
        torch.testing.assert_close(found[name], one[name] + two[name] - weight, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("agreeable")
def test_all_skills_are_trained_in_their_order_under_matryoshka_too(tiny_teacher: Path, tmp_path: Path) -> None:
    nli = table(
        tmp_path / "nli.tsv",
        "premise|hypothesis|label",
        *(f"premise {n}|follows {n}|entailment\npremise {n}|denies {n}|contradiction" for n in range(20)),
    )
    search = ",".join(str(sample_file(f"retrieval-{side}.tsv")) for side in ("questions", "passages"))
    config = FinetuneConfig(nli=(nli,), retrieval=(search,), paragraphs=(str(sample_file("retrieval-passages.tsv")),))
    labelled = [*read_labelled(config, ("tr",)), sample_sts()]
    result = train(tiny_teacher, tmp_path, labelled, matryoshka=(16,), limit=None)
    assert [step.skill for step in result.skills] == ["nli", "retrieval", "sts"]
    assert result.taken == ["nli", "retrieval", "sts"]
    assert {data.name: data.has_labels for data in result.data} == {
        "nli": True,
        "retrieval-questions": True,
        "retrieval-passages (pseudo-queries)": False,
        "sts": True,
    }
    saved = json.loads((tmp_path / "out" / "training.json").read_text())
    assert saved["anchors"] > 40


class Killed(BaseException):
    """The power goes."""


@pytest.mark.usefixtures("agreeable")
def test_cut_off_anywhere_it_ends_with_the_same_bytes(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hub_tools.finetuning import trainer

    monkeypatch.setattr(trainer, "_SAVE_STEPS", 3)
    train(tiny_teacher, tmp_path, [sample_sts()], "whole")
    original, seen = losses.Anchors.loss, list[int]()
    for moment in (5, 8):
        # Killed in the middle of a step; then a checkpoint is cut off too.
        def deadly(self: losses.Anchors, model: Any, step: int, steps: int, moment: int = moment) -> Any:
            seen.append(step)
            if step == moment:
                raise Killed
            return original(self, model, step, steps)

        with monkeypatch.context() as patch:
            patch.setattr(losses.Anchors, "loss", deadly)
            with pytest.raises(Killed):
                train(tiny_teacher, tmp_path, [sample_sts()], "cut")
        (tmp_path / "cut" / "3-sts" / "checkpoint-99").mkdir(exist_ok=True)
    train(tiny_teacher, tmp_path, [sample_sts()], "cut")
    assert seen == [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8]
    whole, cut = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == cut


@pytest.mark.usefixtures("agreeable")
def test_out_of_memory_a_step_is_done_again_in_smaller_parts(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tiny_teacher, tmp_path, [sample_sts()], "enough")
    original = InParts._vectors

    def greedy(self: InParts, features: dict[str, Any], kwargs: dict[str, Any]) -> Any:
        if features["input_ids"].numel() > 200:
            raise RuntimeError("CUDA out of memory")
        return original(self, features, kwargs)

    monkeypatch.setattr(InParts, "_vectors", greedy)
    train(tiny_teacher, tmp_path, [sample_sts()], "little")
    enough, little = (load_file(tmp_path / name / "model.safetensors") for name in ("enough", "little"))
    for name, weight in enough.items():
        torch.testing.assert_close(little[name], weight, rtol=1e-2, atol=2e-4)
    monkeypatch.setattr(InParts, "_vectors", lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory")))
    with pytest.raises(UserError, match="Out of memory with a single text in step 1"):
        train(tiny_teacher, tmp_path, [sample_sts()], "nothing")


def test_a_loss_that_is_not_finite_is_named(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses.Anchors, "loss", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(UserError, match=r"The loss is not finite in step 1 .*--finetune-learning-rate"):
        train(tiny_teacher, tmp_path, [sample_sts()])


def test_a_run_measures_the_distilled_student_beside_the_trained_one(
    finished: tuple[RunConfig, Any], tmp_path: Path
) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(finished[0].output, run)
    config = tmp_path / "run.toml"  # that in the run is what the last command asked for
    config.write_text(re.sub(r'output = ".*"', f'output = "{run}"', (run / "config.toml").read_text()))
    lines = [f"bir cümle {n}|öteki cümle {n}|{n % 6}" for n in range(60)]
    data = table(tmp_path / "mine-train.tsv", "sentence1|sentence2|score", *lines)
    words = ["--config", str(config), "--finetune-sts", data, "--finetune-batch-size", "8", "--finetune-shares", "0.5"]
    done = hub_distill(*words, cwd=tmp_path)
    succeeded(done)
    report = json.loads((run / "report.json").read_text())
    assert report["student"]["id"] == str(run / "finetuned")
    assert [data["name"] for data in report["finetune"]["data"]] == ["mine"]
    measured = {row["task"]: row for row in report["evaluation"] if row["is_main"]}
    models = list(measured["STS sample (tr)"]["models"])
    assert models[-2:] == ["distilled", "student"]
    assert measured["STS sample (tr)"]["supervised"] is bool(report["finetune"]["skills"][0]["taken"])
    assert measured["retrieval sample (tr)"]["supervised"] is False
    assert "## Training with labels" in (run / "report.md").read_text()
    again = hub_distill(*words, cwd=tmp_path)
    assert again.stderr.count("already done") == 7
    # Without the data the student is the distilled one again, and all commands take it.
    without = hub_distill("--config", str(config), cwd=tmp_path)
    succeeded(without)
    report = json.loads((run / "report.json").read_text())
    assert (report["student"]["id"], report["finetune"]) == (str(run / "student"), None)
