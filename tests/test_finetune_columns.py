"""The columns that the training with labels reads: behind which prompts the texts stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub_tools.config_finetune import FinetuneConfig
from hub_tools.corpus.contamination import EvaluationTexts
from hub_tools.evaluation.subject import Subject
from hub_tools.finetuning.columns import as_dataset
from hub_tools.finetuning.data import Parts, read_labelled, split
from hub_tools.models.loading import load_model
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
