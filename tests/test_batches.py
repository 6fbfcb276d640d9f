"""The texts that are trained on, and the batches they come in."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hub_tools.models.padding import join, pad, padded_lengths, padded_tokens
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.training.batching import epoch_batches, split_rows
from hub_tools.training.data import TokenizedTexts, TrainingSet, load_training_set
from hub_tools.training.on_disk import OnDisk
from hub_tools.vectors.dataset import Batch

LENGTHS = np.random.default_rng(0).integers(1, 200, size=3000)


def test_long_texts_are_cut_on_the_side_that_the_tokenizer_says(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    cut = {}
    for side in ("left", "right"):
        replace(minilm_files, settings={**minilm_files.settings, "truncation_side": side}).write(tmp_path / side)
        builder = TokenizedTexts.Builder(tmp_path / side / "tokenizer.json", 4)
        builder.add(["one two three four five"])
        cut[side] = minilm_files.load().decode(builder.build()[0].tolist())
    assert cut == {"left": "four five", "right": "one two"}


def test_batches_hold_each_text_once_keep_the_budget_and_waste_little() -> None:
    batches = epoch_batches(LENGTHS, 1024, seed=1, epoch=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(3000))
    padded = [padded_tokens(LENGTHS[batch]) for batch in batches]
    assert max(padded) <= 1024
    assert LENGTHS.sum() / sum(padded) > 0.9


def test_the_order_is_given_by_seed_and_epoch() -> None:
    first, same, next_epoch, other = (
        [b.tolist() for b in epoch_batches(LENGTHS, 1024, seed=seed, epoch=epoch)]
        for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))
    )
    assert first == same
    assert first != next_epoch
    assert first != other


def test_texts_in_order_of_language_are_mixed() -> None:
    batches = epoch_batches(np.full(3000, 8), 1024, seed=1, epoch=0)
    # Each batch draws from the whole corpus, not from a stretch of it.
    assert max(abs(batch.mean() - 1500) for batch in batches[:20]) < 600


def test_padding_is_on_the_right_and_masked() -> None:
    ids, mask = pad([np.array([5, 6, 7], np.int32), np.array([8], np.int32)], pad_id=9)
    assert ids.shape == (2, 3)
    assert ids[1].tolist() == [8, 9, 9]
    assert mask.sum(axis=1).tolist() == [3, 1]
    assert ids.dtype == mask.dtype == np.int64


def test_short_texts_are_padded_by_little_and_long_ones_to_few_lengths() -> None:
    lengths = np.arange(1, 513)
    padded = padded_lengths(lengths)
    assert (padded >= lengths).all() and (padded - lengths < lengths / 8).all()
    assert len(np.unique(padded)) == 15 + 8 + 8 + 57
    assert padded_lengths(np.array([0, 15, 17, 33, 65])).tolist() == [0, 15, 18, 36, 72]


def test_groups_fit_and_a_text_over_the_budget_is_a_group_of_its_own() -> None:
    lengths = np.array([3, 8, 9, 16, 16, 40])
    assert split_rows(lengths, 32) == [slice(0, 3), slice(3, 5), slice(5, 6)]
    assert split_rows(lengths, 1000) == [slice(0, 6)]
    assert padded_tokens(lengths) == 6 * 40


def test_joined_texts_say_where_each_begins() -> None:
    ids, starts = join([np.array([5, 6], np.int32), np.array([], np.int32), np.array([7], np.int32)])
    assert (ids.tolist(), starts.tolist()) == ([5, 6, 7], [0, 2, 2])


def sources(*counts: tuple[int, int, bool]) -> TrainingSet:
    """Texts of which only the source counts: (its number, how many, whether they are translations)."""
    numbers, sizes, translations = zip(*counts, strict=True)
    source = np.repeat(numbers, sizes)
    empty = TokenizedTexts(ids=np.empty(0, np.int32), ends=np.zeros(len(source), np.int64), pad_id=0)
    return TrainingSet(
        texts=empty,
        target_index=np.zeros(len(source), np.int64),
        targets=np.empty((0, 0), np.float16),
        source=source,
        is_translation=np.repeat(translations, sizes),
        is_other=np.zeros(len(source), np.bool_),
    )


def test_small_parallel_files_are_taken_more_often_and_source_sides_less() -> None:
    # 400 pairs of one file, 4 of another, 10 monolingual texts.
    data = sources((0, 400, True), (0, 400, False), (1, 4, True), (1, 4, False), (-1, 10, False))
    times = np.split(data.repeats(parallel_alpha=0.5, source_fraction=0.25), [400, 800, 804, 808])
    assert [set(part.tolist()) for part in times] == [{1.0}, {0.25}, {10.0}, {2.5}, {1.0}]
    assert set(data.repeats(parallel_alpha=1, source_fraction=1)) == {1.0}


def test_languages_are_drawn_by_their_size_where_that_is_asked_for() -> None:
    # 50 texts of one language, 10 of another, and 4 pairs that have nothing to do with them.
    data = sources((-1, 50, False), (-2, 10, False), (0, 4, True))
    for alpha, small in ((1.0, 1.0), (0.5, 5**0.5), (0.0, 5.0)):
        assert data.repeats(0.5, 0.5, alpha).tolist() == [1.0] * 50 + [small] * 10 + [1.0] * 4


def test_languages_that_the_student_is_not_for_have_the_share_that_they_have_in_its_vocabulary() -> None:
    data = sources((-1, 90, False), (-2, 300, False), (0, 10, True))
    is_other = data.source == -2
    times = replace(data, is_other=is_other, others_share=0.2).repeats(0.5, 0.5)
    assert set(times[~is_other]) == {1.0}
    assert times[is_other].sum() == pytest.approx(25)  # a fifth of 125
    few = replace(data, is_other=is_other, others_share=0.9).repeats(0.5, 0.5)
    assert set(few) == {1.0}  # no more than all of them


def test_an_epoch_holds_each_text_as_often_as_asked_for() -> None:
    repeats = np.repeat([0.0, 0.5, 1.0, 3.2], 1000)
    batches = epoch_batches(np.full(4000, 8), 1024, 1, 0, repeats)
    times = np.bincount(np.concatenate(batches), minlength=4000).reshape(4, 1000)
    assert [set(part.tolist()) for part in times] == [{0}, {0, 1}, {1}, {3, 4}]
    assert times.mean(axis=1) == pytest.approx([0, 0.5, 1, 3.2], abs=0.06)


class Shards:
    """Vectors of pairs and monolingual texts, shard by shard."""

    def __init__(self, count: int, rows: int, dim: int) -> None:
        self.count, self.size, self.dim = count, rows, dim
        self.manifest: dict[str, Any] = {}

    def rows(self, _split: str) -> int:
        return self.count * self.size

    def batches(self, _split: str) -> Iterator[Batch]:
        for number in range(self.count):
            rows = [number * self.size + row for row in range(self.size)]
            yield Batch(
                [f"text {row}" for row in rows],
                ["en" if row % 2 else "fr" for row in rows],
                [f"metin {row}" if row % 2 else None for row in rows],
                [f"file-{row % 3}.tsv" if row % 2 else "en" for row in rows],
                ["query: " if row == 1 else "" for row in rows],
                np.repeat(np.array(rows, np.float16)[:, None], self.dim, axis=1),
            )


def test_a_pair_is_two_texts_with_one_vector(minilm: Path, minilm_files: TokenizerSpec) -> None:
    shards: Any = Shards(2, 3, 4)  # rows 0 to 5
    data = load_training_set(shards, "train", minilm / "tokenizer.json", 16)
    decode = minilm_files.load().decode
    assert [decode(data.texts[number].tolist()) for number in range(len(data))] == [
        *("text 0", "query : text 1", "query : metin 1", "text 2", "text 3", "metin 3", "text 4", "text 5", "metin 5"),
    ]
    assert data.target_index.tolist() == [0, 1, 1, 2, 3, 3, 4, 5, 5]
    assert data.is_translation.tolist() == [False, False, True, False, False, True, False, False, True]
    assert data.source.tolist() == [-1, 0, 0, -1, 1, 1, -1, 2, 2]  # files as they come: 1, 0 and 2
    assert data.targets[:][:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    some = load_training_set(shards, "train", minilm / "tokenizer.json", 16, every=2)
    assert (some.targets[:][:, 0].tolist(), some.target_index.tolist()) == ([0, 2, 3, 5], [0, 1, 2, 2, 3, 3])


def test_held_out_text_is_in_the_languages_of_the_student(minilm: Path) -> None:
    shards: Any = Shards(2, 3, 4)
    for targets, others in (["tr"], [0, 3, 6]), (["fr"], []), ([], []):  # which are "text 0", "text 2", "text 4"
        shards.manifest = {"targets": targets}
        data = load_training_set(shards, "train", minilm / "tokenizer.json", 16)
        assert np.flatnonzero(data.is_other).tolist() == others
        own = load_training_set(shards, "train", minilm / "tokenizer.json", 16, with_others=False)
        assert len(own) == len(data) - len(others) and not own.is_other.any()
    shards.manifest = {"targets": ["tr"]}
    own = load_training_set(shards, "train", minilm / "tokenizer.json", 16, with_others=False)
    assert own.targets[:][:, 0].tolist() == [1, 3, 5]
    assert own.target_index.tolist() == [0, 0, 1, 1, 2, 2]


def test_neither_vectors_nor_tokens_are_held_in_memory(minilm: Path, tmp_path: Path) -> None:
    shards: Any = Shards(20, 50, 2**15)
    size = 20 * 50 * 2**15 * 2
    tracemalloc.start()
    try:
        data = load_training_set(shards, "train", minilm / "tokenizer.json", 16, folder=tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert data.targets.dtype == np.float16 and data.targets.shape == (1000, 2**15)
    assert peak < size / 4  # a batch of the dataset and what is made of it
    assert not list(tmp_path.iterdir())  # nothing is left where a process is killed


@pytest.mark.parametrize("width", [(), (3,)])
def test_rows_on_disk_are_read_as_those_of_an_array(width: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    rows = random.integers(0, 100, (17, *width)).astype(np.int32)
    stored = OnDisk[np.int32](None, np.int32, width)
    for part in (rows[:5], rows[5:5], rows[5:].astype(np.int64)):
        stored.append(part)
    assert stored.shape == rows.shape
    for numbers in (np.array([16, 0, 3, 3]), np.array([], np.int64)):
        np.testing.assert_array_equal(stored[numbers], rows[numbers])
    for part in (slice(4, 9), slice(9, 4), slice(None), slice(15, 40)):
        np.testing.assert_array_equal(stored[part], rows[part])
    with pytest.raises(IndexError, match="row 17 and those after it are not among 17"):
        stored[np.array([17])]
