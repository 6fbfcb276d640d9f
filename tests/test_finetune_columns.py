"""The columns that the training with labels reads: behind which prompts the texts stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hub_tools.config_finetune import FinetuneConfig
from hub_tools.corpus.contamination import EvaluationTexts
from hub_tools.evaluation.subject import Subject
from hub_tools.finetuning import searches as searches_module
from hub_tools.finetuning.columns import as_searches, as_similarities, examples_in
from hub_tools.finetuning.data import Parts, read_labelled, split
from hub_tools.finetuning.losses import scored, searched
from hub_tools.finetuning.searches import Row, Searches, arrange, rows_of_batch
from hub_tools.finetuning.trainer import steps_of
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
    table = as_similarities([of_file], subject).to_dict()
    behind = [
        tuple(text.startswith(QUERY) for text in pair) for pair in zip(table["text0"], table["text1"], strict=True)
    ]
    # Both texts of a pair behind the same one.
    assert behind.count((True, True)) / len(behind) == pytest.approx(0.5, abs=0.1)
    assert behind.count((False, False)) == len(behind) - behind.count((True, True))
    assert {text.removeprefix(QUERY).removeprefix(DOCUMENT) for text in table["text0"]} == {
        example.texts[0] for example in of_file.train
    }
    # A pair stands behind the same prompt in every pass and run.
    assert as_similarities([of_file], subject).to_dict() == table


def test_a_pair_and_its_translation_stand_in_one_row(subject: Subject, tmp_path: Path) -> None:
    head = ("sentence1", "sentence2", "score")
    versions = []
    for name in ("tr", "en"):
        file = tmp_path / f"{name}.tsv"
        rows = [(f"{name} {n} one", f"{name} {n} two", str(n % 6)) for n in range(30)]
        # A sentence of the held-out row 9: the pair is trained on in one language alone, so in none.
        rows[4] = ("tr 9 one", *rows[4][1:]) if name == "tr" else rows[4]
        versions.append(parts(file, [head, *rows], sts=(str(file),)))
    table = as_similarities(versions, subject).to_dict()
    bare = [[text.removeprefix(QUERY).removeprefix(DOCUMENT) for text in table[f"text{side}"]] for side in range(4)]
    numbers = [n for n in range(30) if n % 10 != 9 and n != 4]
    assert bare == [[f"{name} {n} {side}" for n in numbers] for name in ("tr", "en") for side in ("one", "two")]
    assert examples_in(as_similarities(versions, subject)) == 2
    assert steps_of({"both": as_similarities(versions, subject)}, 1.0, 8) == 7  # 26 rows, four of them a batch
    assert table["score"] == [n % 6 for n in numbers]


def test_questions_and_passages_have_the_prompts_of_their_roles(subject: Subject, tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    rows = [("query", "positive"), *((f"soru {n}", f"cevap {n}") for n in range(60))]
    of_file = parts(file, rows, retrieval=(str(file),))
    table = as_searches(arrange(of_file, subject, 8, 0), subject).to_dict()
    assert table.keys() == {"queries0", "passages0", "label"}
    assert all(text.startswith(QUERY) for text in table["queries0"])
    assert all(text.startswith(DOCUMENT) for text in table["passages0"])


class Finder:
    """The cosine of texts number a and b falls with their distance."""

    def encode(self, texts: list[str], role: str, what: str) -> np.ndarray:
        angles = np.array([int(text.split()[1]) for text in texts]) * 0.05
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


FINDER: Any = Finder()


def test_passages_that_are_near_each_other_are_in_one_batch_with_all_their_queries(tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    # Passages have one to five questions.
    rows = [(f"q {n} {number}", f"p {n}") for n in range(50) for number in range(n % 5 + 1)]
    of_file = parts(file, [("query", "positive"), *rows], retrieval=(str(file),))
    found = arrange(of_file, FINDER, 12, 0)
    assert {len(row.queries) for row in found.rows} == {3}
    asked = {(query, row.passages[0]) for row in found.rows for query in row.queries}
    assert asked == {example.texts[:2] for example in of_file.train}
    assert rows_of_batch(3, 12) == 4
    spreads = []
    for start in range(0, 36, 4):
        numbers = [int(row.passages[0].split()[1]) for row in found.rows[start : start + 4]]
        assert len(set(numbers)) == 4
        spreads.append(max(numbers) - min(numbers))
    assert np.median(spreads) < 12  # of random four: 30
    assert arrange(of_file, FINDER, 12, 0).rows == found.rows


def test_what_answers_too_is_no_negative(tmp_path: Path) -> None:
    file = tmp_path / "triplets.tsv"
    rows = [(f"q {n}", f"p {n}", f"p {n + 100}") for n in range(20)]
    rows.append(("q 3", "p 5", "p 103"))
    of_file = parts(file, [("query", "positive", "negative"), *rows], retrieval=(str(file),))
    found = arrange(of_file, FINDER, 4, 0)
    numbers = {(row.queries[0], row.passages[0]): number for number, row in enumerate(found.rows)}
    both = [numbers["q 3", "p 3"], numbers["q 3", "p 5"], numbers["q 5", "p 5"]]
    assert [found.rows[number].passages for number in both[:2]] == [("p 3", "p 103"), ("p 5", "p 103")]
    cosines, answering = found.cosines(both[:2])
    # Passages p 3, p 5 and twice p 103: q 3 is answered by both of the first, one of which is its own in each row.
    assert answering.tolist() == [[False, True, False, False], [True, False, False, False]]
    np.testing.assert_allclose(cosines[0], np.cos(0.05 * np.array([0, 2, 100, 100])), atol=1e-5)
    assert found.cosines(both[::2])[1].tolist() == [[False, True, False, False], [False] * 4]


def test_a_pair_with_several_negatives_is_one_query(tmp_path: Path) -> None:
    file = tmp_path / "triplets.tsv"
    rows = [(f"q {n}", f"p {n}", f"p {n + 100 * k}") for n in range(20) for k in (1, 2, 3)]
    of_file = parts(file, [("query", "positive", "negative"), *rows], retrieval=(str(file),))
    found = arrange(of_file, FINDER, 4, 0)
    assert {row.queries for row in found.rows} == {(f"q {n}",) for n in range(20) if n % 10 != 9}
    assert len(found.rows) == 18


def test_batches_are_neighbours_in_every_pass_and_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches_module, "_BLOCK", 45)
    file = tmp_path / "pairs.tsv"
    rows = [(f"q {n} {number}", f"p {n}") for n in range(100) for number in range(6)]
    found = arrange(parts(file, [("query", "positive"), *rows], retrieval=(str(file),)), FINDER, 12, 0)
    # 90 passages in two passes of 22 whole batches; the last two of each pass are at the end.
    numbers = [int(row.passages[0].split()[1]) for row in found.rows]
    assert len(numbers) == 180
    whole = [numbers[start : start + 4] for start in range(0, 176, 4)]
    assert all(len(set(batch)) == 4 for batch in whole)
    assert sorted(numbers[:88]) == sorted(set(numbers[:88]))
    assert np.median([max(batch) - min(batch) for batch in whole[22:]]) < 12


class Given(torch.nn.Module):
    """A model whose vectors are the features."""

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        return {"sentence_embedding": features["vectors"]}

    def get_embedding_dimension(self) -> int:
        return 8


GIVEN: Any = Given()


@pytest.mark.parametrize("closer", [True, False])
def test_the_search_loss_falls_as_queries_come_to_their_passages(closer: bool) -> None:
    """It is the multiple-negatives loss of sentence-transformers where each passage has one query."""
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    rows = tuple(Row((f"q {n}",), (f"p {n}",)) for n in range(0, 40, 10))
    texts = {kind: [f"{kind} {n}" for n in range(0, 40, 10)] for kind in "qp"}
    vectors = {kind: FINDER.encode(own, "", "") for kind, own in texts.items()}
    searches = Searches(
        rows=rows,
        answers={row.queries[0]: frozenset(row.passages) for row in rows},
        queries=dict(zip(texts["q"], vectors["q"], strict=True)),
        passages=dict(zip(texts["p"], vectors["p"], strict=True)),
    )
    queries = torch.from_numpy(vectors["q"] if closer else vectors["q"][::-1].copy())
    features = [{"vectors": queries}, {"vectors": torch.from_numpy(vectors["p"])}]
    found = searched(GIVEN, searches, 0.05, ())(features, torch.arange(4))
    plain = MultipleNegativesRankingLoss(GIVEN, scale=20).compute_loss_from_embeddings(
        [one["vectors"] for one in features], torch.arange(4)
    )
    if closer:  # ranked as the finder ranks them: no divergence
        torch.testing.assert_close(found, plain)
    else:
        assert found > plain + 0.01


def test_the_loss_of_scores_holds_translations_together() -> None:
    one, two = torch.eye(8)[:4], torch.eye(8)[4:]
    loss, scores = scored(GIVEN, ()), torch.ones(4)  # all alike: nothing is ranked
    together, apart = (
        float(loss([{"vectors": vectors} for vectors in (one, two, *translated)], scores))
        for translated in ((one, two), (one.roll(1, 0), two))
    )
    assert together < 0.001
    assert apart > 0.4
    # A sentence may be as near to the translation of the one that it is compared with as to its own.
    assert float(loss([{"vectors": one}] * 4, scores)) < 0.001


def test_scores_are_learned_at_the_scale_of_the_library() -> None:
    """A colder one, as searches of e5 have it, learns from the few pairs that are ranked worst (docs/results.md)."""
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    # The further apart, the higher the score.
    texts = [[f"q {n}" for n in range(8)], [f"p {3 * n}" for n in range(8)]]
    vectors, scores = [torch.from_numpy(FINDER.encode(own, "", "")) for own in texts], torch.arange(8) / 8
    found = scored(GIVEN, ())([{"vectors": one} for one in vectors], scores)
    torch.testing.assert_close(found, CoSENTLoss(GIVEN).compute_loss_from_embeddings(vectors, scores))
