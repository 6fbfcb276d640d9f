"""What the training with labels reads: behind which prompts texts stand, and the vectors that anchors keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hub_tools.config_finetune import FinetuneConfig
from hub_tools.corpus.contamination import EvaluationTexts
from hub_tools.corpus.readers import sample_file
from hub_tools.evaluation.subject import Subject
from hub_tools.finetuning.columns import as_dataset
from hub_tools.finetuning.data import Parts, read_labelled, split
from hub_tools.finetuning.losses import Anchors
from hub_tools.models.loading import load_model
from tests.test_finetune import train
from tests.training_job import CPU

QUERY, DOCUMENT = "query: ", "passage: "


@pytest.fixture
def subject(tiny_teacher: Path) -> Subject:
    model = load_model(tiny_teacher, device="cpu")
    model.prompts.update({"query": QUERY, "document": DOCUMENT})
    return Subject(lambda: model, CPU)


def parts(file: Path, rows: list[tuple[str, ...]], **options: tuple[str, ...]) -> Parts:
    file.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    (found,) = read_labelled(FinetuneConfig(**options), ("tr",))
    return split(found, EvaluationTexts([]))


def test_similarity_is_trained_behind_both_prompts(subject: Subject, tmp_path: Path) -> None:
    file = tmp_path / "sts.tsv"
    rows = [("sentence1", "sentence2", "score"), *((f"ev {n}", f"oda {n}", str(n % 6)) for n in range(200))]
    of_file = parts(file, rows, sts=(str(file),))
    table = as_dataset(of_file, None, subject, 0).to_dict()
    behind = [
        tuple(text.startswith(QUERY) for text in pair) for pair in zip(table["text0"], table["text1"], strict=True)
    ]
    for combination in ((True, True), (True, False), (False, True), (False, False)):
        assert behind.count(combination) / len(behind) == pytest.approx(0.25, abs=0.1)
    assert {text.removeprefix(QUERY).removeprefix(DOCUMENT) for text in table["text0"]} == {
        example.texts[0] for example in of_file.train
    }
    # A text stands behind the same prompt in every pass and run.
    assert as_dataset(of_file, None, subject, 1).to_dict() == table


def test_questions_and_passages_have_the_prompts_of_their_roles(subject: Subject, tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    rows = [("query", "positive"), *((f"soru {n}", f"cevap {n}") for n in range(60))]
    table = as_dataset(parts(file, rows, retrieval=(str(file),)), None, subject, 0).to_dict()
    assert all(text.startswith(QUERY) for text in table["text0"])
    assert all(text.startswith(DOCUMENT) for text in table["text1"])


def test_texts_of_the_data_keep_the_vectors_that_the_student_has_of_them(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the teacher's: what a student was distilled to may differ from them."""
    student = load_model(tiny_teacher, device="cpu")
    with torch.no_grad():
        next(student.parameters()).mul_(torch.linspace(0.1, 2, 32))
    student.save_pretrained(str(tmp_path / "student"), create_model_card=False)
    seen: list[Anchors] = []

    def note(self: Anchors, model: Any, *_: int) -> torch.Tensor:
        seen.append(self)
        return torch.zeros(())

    monkeypatch.setattr(Anchors, "loss", note)
    search = ",".join(str(sample_file(f"retrieval-{side}.tsv")) for side in ("questions", "passages"))
    labelled = list(read_labelled(FinetuneConfig(retrieval=(search,)), ("tr",)))
    train(tiny_teacher, tmp_path, labelled, student=tmp_path / "student")
    query = labelled[0].examples[0].texts[0]
    kept = seen[0].vectors[seen[0].texts.index(query)]
    assert np.allclose(kept, student.encode(query, normalize_embeddings=True), atol=1e-5)
