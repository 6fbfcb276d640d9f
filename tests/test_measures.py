"""Measures of tokenizers against values computed by hand."""

from __future__ import annotations

import math

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from hub_tools.tokenization.metrics import measure, parity


@pytest.fixture
def tokenizer() -> Tokenizer:
    # Words: "ab" is one token, "abc" two.
    made = Tokenizer(models.WordPiece({"[UNK]": 0, "ab": 1, "##c": 2, "d": 3}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def test_tokens_words_and_characters_are_counted(tokenizer: Tokenizer) -> None:
    # Five tokens of four words, seven characters and eight bytes; one word has two tokens.
    assert measure(tokenizer, ["ab abc", "d é"], "tr", "[UNK]") | {"renyi_efficiency": None} == {
        "tokens_per_word": 1.25,
        "characters_per_token": 1.4,
        "bytes_per_token": 1.6,
        "continued_words": 0.25,
        "renyi_efficiency": None,
        "tokens_used": 4,
        "unknown": 1,
    }


def test_fertility_is_per_character_where_words_are_not_spaced(tokenizer: Tokenizer) -> None:
    assert measure(tokenizer, ["ab abc"], "zh", "[UNK]")["tokens_per_word"] == 3 / 5


def test_renyi_efficiency_is_one_when_all_tokens_are_used_alike(tokenizer: Tokenizer) -> None:
    even = measure(tokenizer, ["abc d x"], "tr", "[UNK]")
    assert even["renyi_efficiency"] == pytest.approx(1)
    # Two of four tokens, half each: log 2 / log 4.
    assert measure(tokenizer, ["abc"], "tr", "[UNK]")["renyi_efficiency"] == math.log(2) / math.log(4)


def test_parity_is_tokens_of_the_second_sides_over_those_of_the_first(tokenizer: Tokenizer) -> None:
    assert parity(tokenizer, [("ab", "abc"), ("d", "abc d")]) == 2.5
