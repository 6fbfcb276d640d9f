from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hub_tools.models.padding import join, pad, padded_lengths, padded_tokens
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.training.batching import TokenizedTexts, epoch_batches, split_rows

LENGTHS = np.random.default_rng(0).integers(1, 200, size=3000)


def test_long_texts_are_cut_on_the_side_that_the_tokenizer_says(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    cut = {}
    for side in ("left", "right"):
        replace(minilm_files, settings={**minilm_files.settings, "truncation_side": side}).write(tmp_path / side)
        builder = TokenizedTexts.Builder(tmp_path / side / "tokenizer.json", 4)
        builder.add(["one two three four five"])
        cut[side] = minilm_files.load().decode(builder.build()[0].tolist())
    assert cut == {"left": "four five", "right": "one two"}


def test_each_text_is_in_exactly_one_batch() -> None:
    batches = epoch_batches(LENGTHS, 1024, seed=1, epoch=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(3000))


def test_batches_keep_the_budget_and_waste_little() -> None:
    batches = epoch_batches(LENGTHS, 1024, seed=1, epoch=0)
    padded = [padded_tokens(LENGTHS[batch]) for batch in batches]
    assert max(padded) <= 1024
    assert LENGTHS.sum() / sum(padded) > 0.9


def test_a_text_over_the_budget_is_a_batch_of_its_own() -> None:
    assert [len(b) for b in epoch_batches(np.array([500, 500]), 100, seed=1, epoch=0)] == [1, 1]


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


def test_padding() -> None:
    ids, mask = pad([np.array([5, 6, 7], np.int32), np.array([8], np.int32)], pad_id=9)
    assert ids.shape == (2, 3)
    assert ids[1].tolist() == [8, 9, 9]
    assert mask.sum(axis=1).tolist() == [3, 1]
    assert pytest.approx(ids.dtype.itemsize) == 8


def test_short_texts_are_padded_by_little_and_long_ones_to_few_lengths() -> None:
    lengths = np.arange(1, 513)
    padded = padded_lengths(lengths)
    assert (padded >= lengths).all() and (padded - lengths < lengths / 8).all()
    assert len(np.unique(padded)) == 15 + 8 + 8 + 57
    assert padded_lengths(np.array([0, 15, 17, 33, 65])).tolist() == [0, 15, 18, 36, 72]


def test_groups_of_a_batch_fit_and_leave_nothing_out() -> None:
    lengths = np.array([3, 8, 9, 16, 16, 40])
    assert split_rows(lengths, 32) == [slice(0, 3), slice(3, 5), slice(5, 6)]
    assert split_rows(lengths, 1000) == [slice(0, 6)]
    assert padded_tokens(lengths) == 6 * 40


def test_texts_one_after_the_other() -> None:
    ids, starts = join([np.array([5, 6], np.int32), np.array([], np.int32), np.array([7], np.int32)])
    assert (ids.tolist(), starts.tolist()) == ([5, 6, 7], [0, 2, 2])
