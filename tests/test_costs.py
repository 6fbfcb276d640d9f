"""What models cost, and what smaller vectors lose, against what sentence-transformers and a hand give."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hub_tools.config import RunConfig
from hub_tools.core.hardware import Hardware
from hub_tools.evaluation import data
from hub_tools.evaluation.costs import measure_costs, paragraphs_of, sentences_of, texts_of_tasks
from hub_tools.evaluation.memory import peak_memory
from hub_tools.evaluation.smaller import smaller_vectors
from hub_tools.evaluation.subject import Subject
from hub_tools.evaluation.tasks import Task, bundled_tasks
from hub_tools.models.loading import SAFE, load_model
from hub_tools.models.sizes import weight_bytes
from hub_tools.reporting.costs import costs_note, costs_table, smaller_table
from hub_tools.reporting.tables import UNREAD
from hub_tools.results import SmallerVectors

CPU = Hardware(device="cpu", precision="fp32")
PROMPTS = {"query": "query: ", "document": "passage: "}
LINE = "Kütüphane bugün saat dokuzda açıldı ve okurlar sıraya girdi."


def subject(folder: Path, **options: Any) -> Subject:
    model = load_model(folder, device="cpu")
    return Subject(lambda: model, CPU, **options)


def texts() -> list[str]:
    return [f"{number}. {LINE}" for number in range(150)]


def test_models_of_a_table_are_measured_at_the_same_texts(tiny_teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short and long ones, in turns, whatever each model could read of them."""
    from sentence_transformers import SentenceTransformer

    subjects = {"large": subject(tiny_teacher, longest=32), "small": subject(tiny_teacher)}
    read: list[tuple[str, tuple[str, ...]]] = []
    encode = SentenceTransformer.encode

    def noted(self: SentenceTransformer, given: list[str], **options: Any) -> Any:
        name = next(name for name, known in subjects.items() if known.model is self)
        read.append((name, tuple(given)))
        return encode(self, given, **options)

    monkeypatch.setattr(SentenceTransformer, "encode", noted)
    costs = measure_costs(subjects, texts(), "tr", {"large": 1, "small": 2})
    assert [given for name, given in read if name == "large"] == [given for name, given in read if name == "small"]
    assert [name for name, _ in read[:6]] == ["large", "small"] * 3
    large, small = costs["large"], costs["small"]
    assert (large.sentences.texts, small.sentences.texts) == (128, 128)
    assert large.paragraphs.texts == small.paragraphs.texts == 18  # of 150 lines of 64 characters, eight in each
    # What a model cuts off is not in its tokens per second, and is in its tokens per word.
    assert small.tokens_per_word == large.tokens_per_word


def test_sizes_are_those_of_the_model_and_its_file(tiny_teacher: Path) -> None:
    one = subject(tiny_teacher)
    (cost,) = measure_costs({"one": one}, texts(), "tr", {"one": weight_bytes(tiny_teacher, SAFE)}).values()
    assert cost.embedding_params == one.model[0].auto_model.embeddings.word_embeddings.weight.numel()
    assert cost.params == sum(parameter.numel() for parameter in one.model.parameters())
    assert cost.weight_bytes == (tiny_teacher / "model.safetensors").stat().st_size
    assert 4 * cost.params < cost.peak_memory < 10 * 4 * cost.params


def test_tokens_are_those_that_the_model_reads(tiny_teacher: Path) -> None:
    one = subject(tiny_teacher, longest=9)
    one.model.prompts = dict(PROMPTS)
    expected = one.model.tokenizer(["query: Işık.", f"query: {LINE}"], truncation=True, max_length=9)["input_ids"]
    assert one.tokens(["Işık.", LINE], "query") == list(map(len, expected))
    assert len(one.whole_tokenizer.encode(LINE).ids) > 9


def test_a_count_of_what_is_not_read_is_no_count(tiny_teacher: Path) -> None:
    thai = ["ห้องสมุดเปิดเวลาเก้าโมงเช้า", "ผู้อ่านต่อแถวกันที่หน้าประตู"]
    costs = measure_costs({"one": subject(tiny_teacher)}, thai, "th", {"one": 1})
    assert costs["one"].tokens_per_word is None
    assert costs_table(costs, "th")[-1] == ["tokens per character of both, Thai", "?"]
    known = {"one": replace(costs["one"], tokens_per_word=0.5)}
    assert (str(costs_note(costs)).endswith(UNREAD), UNREAD in str(costs_note(known))) == (True, False)


def test_the_peak_is_what_was_held_at_once() -> None:
    import torch

    layer: Any = torch.nn.Linear(10, 100, bias=False)  # 4,000 bytes
    layer.device = torch.device("cpu")

    def encode() -> None:
        first = layer(torch.ones(50, 10))  # 2,000 and 20,000 bytes, then 20,000
        second = first.relu()  # 20,000 more
        del first
        second.view(-1).add_(1)  # a view and a change in place take nothing
        second.sum(dim=1)  # 200 bytes, while 20,000 are held

    with torch.inference_mode():
        assert peak_memory(layer, encode) == 4_000 + 40_000


def test_short_and_long_texts_are_found_or_made() -> None:
    long, cut = "a" * 600, "b" * 3000
    assert sentences_of([long, "x", " ", "y"]) == ["x", "y"]
    assert sentences_of([long]) == ["a" * 200]
    assert paragraphs_of([long, "x", cut], "tr") == [long, "b" * 1000, "x"]
    assert [len(text) for text in paragraphs_of(["c" * 249] * 9, "tr")] == [749, 749, 749]
    assert paragraphs_of(["春", "秋"], "zh") == ["春秋"]
    assert paragraphs_of(["春", "秋"], "tr") == ["春 秋"]


def test_without_texts_nothing_is_measured(tiny_teacher: Path) -> None:
    assert measure_costs({"one": subject(tiny_teacher)}, [], "tr", {"one": 1}) == {}


def test_the_texts_of_tasks_are_those_in_the_language() -> None:
    pairs = data.Bitext(source=["one", "two"], target=["bir", "iki"], languages=("en", "tr"))
    sts = data.Similarity(first=["a", "b"], second=["c", "a"], scores=[1.0, 2.0])
    tasks = [Task(name="t", split="test", data=pairs), Task(name="s", split="test", data=sts)]
    assert texts_of_tasks(tasks) == ["bir", "a", "c", "iki", "b"]


def test_smaller_vectors_score_as_by_sentence_transformers(tiny_teacher: Path) -> None:
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    one, task = subject(tiny_teacher), bundled_tasks(("tr",))[0]
    assert isinstance(task.data, data.Similarity)
    (found,) = smaller_vectors({"one": one}, [task], (8,))
    assert found.bytes == {"float32": 128, "8 numbers": 32, "int8": 32, "binary": 4}
    for form, options, metric in (
        ("float32", {}, "cosine"),
        ("8 numbers", {"truncate_dim": 8}, "cosine"),
        ("int8", {"precision": "int8"}, "cosine"),
        ("binary", {"precision": "ubinary"}, "manhattan"),  # of bits that is the Hamming distance
    ):
        sides: Any = (task.data.first, task.data.second, task.data.scores)
        evaluator = EmbeddingSimilarityEvaluator(*sides, similarity_fn_names=[metric], **options)
        figure = found.figures[form]
        assert figure is not None
        assert figure.value == pytest.approx(evaluator(one.model)[f"spearman_{metric}"], abs=2e-5)
        assert list(figure.differences) == ([] if form == "float32" else ["float32"])


def test_smaller_vectors_find_passages_as_by_sentence_transformers(tiny_teacher: Path) -> None:
    """With int8 calibrated on the passages; the relevant one at rank r gives 1 / log2(r + 1)."""
    from sentence_transformers import quantize_embeddings
    from sentence_transformers.util import semantic_search

    one, task = subject(tiny_teacher), bundled_tasks(("tr",))[1]
    assert isinstance(task.data, data.Retrieval)
    (found,) = smaller_vectors({"one": one}, [task])
    assert list(found.bytes) == ["float32", "16 numbers", "8 numbers", "4 numbers", "int8", "binary"]
    queries, passages = one.model.encode(task.data.queries), one.model.encode(task.data.passages)
    small: Any = [quantize_embeddings(side, "int8", calibration_embeddings=passages) for side in (queries, passages)]
    hits = semantic_search(*(side.astype(np.float32) for side in small), top_k=10)
    gains = []
    for own, relevant in zip(hits, task.data.relevant, strict=True):
        ranks = [rank for rank, hit in enumerate(own, 1) if hit["corpus_id"] in relevant]
        gains.append(sum(1 / np.log2(rank + 1) for rank in ranks))
    assert found.figures["int8"] is not None
    assert found.figures["int8"].value == pytest.approx(np.mean(gains), abs=2e-5)


def test_no_text_is_encoded_again_for_smaller_vectors(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = bundled_tasks(("tr",))
    for task in tasks:
        task.vectors(subject(tiny_teacher, cache=tmp_path, identity="tiny"))
    monkeypatch.setattr("hub_tools.evaluation.subject.Encoder", None)
    assert len(smaller_vectors({"one": subject(tiny_teacher, cache=tmp_path, identity="tiny")}, tasks)) == 2


def test_lengths_are_those_a_model_was_trained_for(tiny_teacher: Path) -> None:
    one = subject(tiny_teacher)
    task = bundled_tasks(("tr",))[0]
    one.model[0].auto_model.config.matryoshka_dimensions = [4, 24, 32]
    (found,) = smaller_vectors({"one": one}, [task])
    assert list(found.bytes) == ["float32", "24 numbers", "4 numbers", "int8", "binary"]
    (given,) = smaller_vectors({"one": one}, [task], (12,))
    assert list(given.bytes) == ["float32", "12 numbers", "int8", "binary"]


def test_a_run_measures_costs_and_smaller_vectors(finished: tuple[RunConfig, dict[str, Any]]) -> None:
    report = finished[1]
    assert list(report["costs"]) == ["teacher", "trim", "clone", "student"]
    teacher, student = report["costs"]["teacher"], report["costs"]["student"]
    assert student["embedding_params"] == 4096 * 32 < teacher["embedding_params"]
    assert student["other_params"] == teacher["other_params"]
    assert student["peak_memory"] < teacher["peak_memory"]
    assert {(row["model"], row["task"]) for row in report["smaller"]} >= {
        ("student", "STS sts"),
        ("teacher", "retrieval sample (tr)"),
        ("clone", "translations found"),
    }
    text = (finished[0].output / "report.md").read_text(encoding="utf-8")
    assert "| weights on disk, MB |" in text
    assert "| vectors as | float32 | 16 numbers | 8 numbers | 4 numbers | int8 | binary |" in text


def test_tables_show_what_was_measured() -> None:
    report = json.loads((Path(__file__).parent / "data" / "report.json").read_text(encoding="utf-8"))
    from hub_tools.reporting.report import FullReport

    full = FullReport.from_dict(report)
    table = {row[0]: row[1:] for row in costs_table(full.costs, "tr")}
    assert table["parameters of the token embeddings"] == ["976,704", "131,072", "131,072"]
    assert table["weights on disk, MB"] == ["4.0", "0.6", "0.6"]
    assert table["tokens per word of both, Turkish"] == ["3.11", "1.86", "1.86"]
    assert "tokens per character of both, Thai" in [row[0] for row in costs_table(full.costs, "th")]
    row: SmallerVectors = full.smaller[0]
    other = replace(row, model="x", bytes={"float32": 64, "int8": 16}, figures={"float32": None})
    head, first, second, *rest = smaller_table([row, other])
    assert head == ["vectors as", "float32", "16 numbers", "8 numbers", "int8", "binary"]
    assert first == ["teacher, bytes of a vector", "128", "64", "32", "32", "4"]
    assert second[:3] == ["teacher, STS stsb-tr, spearman (test, n=1,379)", "72.9", "71.5 (-1.4)"]
    assert second[4] == "72.8 (=)"
    assert rest == [
        ["x, bytes of a vector", "64", "", "", "16", ""],
        ["x, STS stsb-tr, spearman (test, n=1,379)", "", "", "", "", ""],
    ]
    assert smaller_table([row])[1][0] == "bytes of a vector"
