from __future__ import annotations

import numpy as np
import pytest

from hub_tools.align import align, aligned_rows

# "das haus", "das buch", "ein buch" against "the house", "the book", "a book": the classical example.
PAIRS = [([0, 1], [0, 1]), ([0, 2], [0, 2]), ([3, 2], [3, 2])]


def test_words_find_their_translations() -> None:
    found = align(PAIRS * 10, teacher_size=4, rounds=20)
    links = np.zeros((4, 4))
    links[found.student, found.teacher] = found.links
    assert links.argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_it_equals_the_textbook_loop() -> None:
    probability = dict.fromkeys([(s, t) for s in range(4) for t in range(4)], 1.0)
    for _ in range(3):
        links = dict.fromkeys(probability, 0.0)
        for student, teacher in PAIRS:
            for s in student:
                total = sum(probability[s, t] for t in teacher)
                for t in teacher:
                    links[s, t] += probability[s, t] / total
        probability = {(s, t): n / sum(links[o, t] for o in range(4)) for (s, t), n in links.items()}
    found = align(PAIRS, teacher_size=4, rounds=3)
    for s, t, n in zip(found.student, found.teacher, found.links, strict=True):
        assert n == pytest.approx(links[s, t], abs=1e-9)


def test_rows_are_means_weighted_by_links() -> None:
    found = align(PAIRS, teacher_size=4, rounds=1)
    rows = np.eye(4, dtype=np.float32)
    ids, new = aligned_rows(found, rows, np.array([0, 2]), least_links=0.5)
    assert ids.tolist() == [0, 2]
    # Token 0 meets teacher tokens 0 (twice), 1 and 2; after one round each cell of a pair counts half.
    assert new[0] == pytest.approx([0.5, 0.25, 0.25, 0.0])


def test_tokens_with_few_links_get_no_row() -> None:
    found = align(PAIRS, teacher_size=4)
    ids, _ = aligned_rows(found, np.eye(4, dtype=np.float32), np.arange(4), least_links=1.5)
    assert ids.tolist() == [0, 2]


def test_no_pairs_give_no_rows() -> None:
    found = align([], teacher_size=4)
    ids, rows = aligned_rows(found, np.eye(4, dtype=np.float32), np.arange(4))
    assert (len(ids), rows.shape) == (0, (0, 4))
