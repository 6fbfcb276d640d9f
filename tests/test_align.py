from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hub_tools.cloning.ibm_model1 import align, aligned_rows

# "das haus", "das buch", "ein buch" against "the house", "the book", "a book": the classical example.
PAIRS = [([0, 1], [0, 1]), ([0, 2], [0, 2]), ([3, 2], [3, 2])]


def test_words_find_their_translations(tmp_path: Path) -> None:
    alignment = align(PAIRS * 10, 4, tmp_path, rounds=20)
    links = np.zeros((4, 4))
    links[alignment.student, alignment.teacher] = alignment.links
    assert links.argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_it_equals_the_textbook_loop(tmp_path: Path) -> None:
    probability = dict.fromkeys([(s, t) for s in range(4) for t in range(4)], 1.0)
    for _ in range(3):
        links = dict.fromkeys(probability, 0.0)
        for student, teacher in PAIRS:
            for s in student:
                total = sum(probability[s, t] for t in teacher)
                for t in teacher:
                    links[s, t] += probability[s, t] / total
        probability = {(s, t): n / sum(links[o, t] for o in range(4)) for (s, t), n in links.items()}
    alignment = align(PAIRS, 4, tmp_path, rounds=3)
    for s, t, n in zip(alignment.student, alignment.teacher, alignment.links, strict=True):
        assert n == pytest.approx(links[s, t], abs=1e-6)


def test_rows_are_means_weighted_by_links(tmp_path: Path) -> None:
    alignment = align(PAIRS, 4, tmp_path, rounds=1)
    rows = np.eye(4, dtype=np.float32)
    ids, new = aligned_rows(alignment, rows, np.array([0, 2]), least_links=0.5)
    assert ids.tolist() == [0, 2]
    # Token 0 meets teacher tokens 0 (twice), 1 and 2; after one round each cell of a pair counts half.
    assert new[0] == pytest.approx([0.5, 0.25, 0.25, 0.0])


def test_tokens_with_few_links_get_no_row(tmp_path: Path) -> None:
    ids, _ = aligned_rows(align(PAIRS, 4, tmp_path), np.eye(4, dtype=np.float32), np.arange(4), least_links=1.5)
    assert ids.tolist() == [0, 2]


def test_no_pairs_give_no_rows(tmp_path: Path) -> None:
    ids, rows = aligned_rows(align([], 4, tmp_path), np.eye(4, dtype=np.float32), np.arange(4))
    assert (len(ids), rows.shape) == (0, (0, 4))


def test_temporary_files_are_in_the_given_folder_and_gone_at_the_end(tmp_path: Path) -> None:
    files = []

    def pairs() -> Iterator[tuple[list[int], list[int]]]:
        for pair in PAIRS:
            files.extend(tmp_path.iterdir())
            yield pair

    align(pairs(), 4, tmp_path)
    assert files and not list(tmp_path.iterdir())


def test_memory_has_a_limit_and_the_strongest_pairs_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from hub_tools.cloning import ibm_model1 as module

    random = np.random.default_rng(0)
    words = random.integers(0, 200, (600, 6))
    pairs = [(row.tolist(), random.permutation(row).tolist()) for row in words]
    monkeypatch.setattr(module, "_BATCH_PAIRS", 64)
    whole = module.align(pairs, 200, tmp_path)
    monkeypatch.setattr(module, "_MOST_CODES", 4000)
    small = module.align(pairs, 200, tmp_path)
    assert len(whole.links) > 8000 and len(small.links) <= 4000 + 4000 // 4 + 64 * 36
    right = small.student == small.teacher
    assert small.links[right].sum() > 0.8 * whole.links[whole.student == whole.teacher].sum()
