from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from hub_tools.cloning.ibm_model1 import Links, align, aligned_rows

# "das haus", "das buch", "ein buch" against "the house", "the book", "a book": the classical example.
PAIRS = [([0, 1], [0, 1]), ([0, 2], [0, 2]), ([3, 2], [3, 2])]


@pytest.mark.parametrize("links_as", get_args(Links))
def test_words_find_their_translations(links_as: Links) -> None:
    found = align(PAIRS * 10, teacher_size=4, rounds=20, links=links_as)
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
        assert n == pytest.approx(links[s, t], abs=1e-6)


def test_rows_are_means_weighted_by_links() -> None:
    found = align(PAIRS, teacher_size=4, rounds=1)
    rows = np.eye(4, dtype=np.float32)
    ids, new = aligned_rows(found, rows, np.array([0, 2]), least_links=0.5)
    assert ids.tolist() == [0, 2]
    # Token 0 meets teacher tokens 0 (twice), 1 and 2; after one round each cell of a pair counts half.
    assert new[0] == pytest.approx([0.5, 0.25, 0.25, 0.0])


def test_tokens_with_few_links_get_no_row() -> None:
    found = align(PAIRS, teacher_size=4, links="product")
    ids, _ = aligned_rows(found, np.eye(4, dtype=np.float32), np.arange(4), least_links=1.5)
    assert ids.tolist() == [0, 2]


def test_no_pairs_give_no_rows() -> None:
    found = align([], teacher_size=4)
    ids, rows = aligned_rows(found, np.eye(4, dtype=np.float32), np.arange(4))
    assert (len(ids), rows.shape) == (0, (0, 4))


def test_both_directions_agree_on_fewer_links() -> None:
    """A token that is everywhere attracts links one way; the other way they go to what explains it."""
    pairs = [([0, 9], [0, 8]), ([1, 9], [1, 8]), ([2, 9], [2, 8]), ([3, 9], [3, 8])]

    def sharpness(links: Links) -> float:
        found = align(pairs, teacher_size=9, rounds=3, links=links)
        own = found.links[(found.student < 4) & (found.student == found.teacher)].sum()
        return float(own / found.links[found.student < 4].sum())

    assert sharpness("product") > sharpness("mean") > 0.5
    assert sharpness("product") > sharpness("forward") > 0.5


def test_a_link_to_a_piece_counts_for_the_whole_word() -> None:
    starts = np.array([True, False, True])
    for how in get_args(Links):
        found = align([([0, 1], [0, 1, 2])] * 3, teacher_size=3, links=how, word_starts=starts)
        links = np.zeros((2, 3))
        links[found.student, found.teacher] = found.links
        assert links[:, 0] == pytest.approx(links[:, 1]) and links.any()


def test_memory_has_a_limit_and_the_strongest_pairs_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    from hub_tools.cloning import ibm_model1 as module

    random = np.random.default_rng(0)
    words = random.integers(0, 200, (600, 6))
    pairs = [(row.tolist(), random.permutation(row).tolist()) for row in words]
    monkeypatch.setattr(module, "_BATCH_PAIRS", 64)
    whole = module.align(pairs, teacher_size=200)
    monkeypatch.setattr(module, "_MOST_CODES", 4000)
    small = module.align(pairs, teacher_size=200)
    assert len(whole.links) > 8000 and len(small.links) <= 4000 + 4000 // 4 + 64 * 36
    right = small.student == small.teacher
    assert small.links[right].sum() > 0.8 * whole.links[whole.student == whole.teacher].sum()
