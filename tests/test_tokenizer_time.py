"""What the tokenizer stage spends no time on, and that it says how far it is."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import pytest

from benchmarks import teachers
from hub_tools.config import TokenizerConfig
from hub_tools.tokenization import vocabulary_selection
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.make import make_tokenizer
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.unigram import Unigram


@pytest.fixture(scope="module")
def teacher(pair_texts: dict[str, list[str]]) -> TokenizerSpec:
    return teachers.unigram(pair_texts["en"] + pair_texts["tr"], 3000)


def test_nothing_is_learned_where_nothing_is_asked_for(
    teacher: TokenizerSpec, pair_texts: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("learned")

    texts = {lang: partial(iter, own) for lang, own in pair_texts.items()}
    monkeypatch.setattr(vocabulary_selection, "learn_merges", fail)
    made = Adaptation(teacher, texts, targets=("tr",), config=TokenizerConfig(vocab_size=1500, learn=0)).make()
    assert made.summary()["added"] == 0
    with pytest.raises(AssertionError, match="learned"):
        Adaptation(teacher, texts, targets=("tr",), config=TokenizerConfig(vocab_size=1500, learn=1)).make()


def test_cuts_are_searched_for_only_where_they_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [*"abcd", "ab", "abc", "cd", "bcd"]
    vocab = [["<unk>", 0.0], *([piece, -1.0 - number] for number, piece in enumerate(pieces))]
    model = Unigram({"model": {"type": "Unigram", "unk_id": 0, "vocab": vocab}, "pre_tokenizer": None})
    searched: list[str] = []
    best_cut = Unigram.best_cut

    def counted(self: Unigram, text: str, scores: dict[str, float]) -> tuple[float, list[str]]:
        searched.append(text)
        return best_cut(self, text, scores)

    monkeypatch.setattr(Unigram, "best_cut", counted)
    order = model.removal_order({"abc": 4.0, "cd": 5.0}, set("abcd"))
    assert order == [("bcd", 0.0), ("ab", 0.0), ("cd", 5.0), ("abc", 8.0)]
    # Not for unused pieces, and once for abc, whose cost is known only when cheaper ones are gone.
    assert searched == ["abc", "cd"]


@pytest.mark.parametrize(
    ("family", "parts"),
    [("unigram", ["pricing tokens"]), ("wordpiece", ["trying splits"])],
    ids=["unigram", "wordpiece"],
)
def test_every_long_part_shows_how_far_it_is(
    family: str,
    parts: list[str],
    *,
    teacher: TokenizerSpec,
    minilm_files: TokenizerSpec,
    pair_texts: dict[str, list[str]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, logger="hub_tools")
    monkeypatch.setattr("hub_tools.core.logging.SECONDS_BETWEEN_LINES", 0)  # as if everything took long
    make_tokenizer(
        Adaptation(
            minilm_files if family == "wordpiece" else teacher,
            {lang: partial(iter, own) for lang, own in pair_texts.items()},
            targets=("tr",),
            config=TokenizerConfig(vocab_size=2500),
            max_seq_length=64,
            text_count=sum(map(len, pair_texts.values())),
        ),
        tmp_path,
        samples=pair_texts,
    )
    for part in ("counting words", "counting tokens", "learning tokens", "measuring tokenizers", *parts):
        assert part in caplog.text
