"""Measures of tokenizers against values computed by hand."""

from __future__ import annotations

import json
import math

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from hub_tools.results import TokenizerResult, is_read
from hub_tools.tokenization.metrics import compare_tokenizers, measure, parity
from hub_tools.tokenization.tokenizer_json import TokenizerSpec


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
        "unknown_tokens": 0.2,
        "unknown_text": 0.1429,
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


def test_what_is_unknown_is_measured_in_characters(tokenizer: Tokenizer) -> None:
    # A letter of a word makes all of it unknown: 3 of 10 tokens stand for 13 of 24 characters.
    figures = measure(tokenizer, ["ab abé", "düşünmek", "abc abc d ab zz"], "tr", "[UNK]")
    assert (figures["unknown_tokens"], figures["unknown_text"]) == (0.3, round(13 / 24, 4))
    assert measure(tokenizer, [], "tr", "[UNK]")["unknown_text"] == 0
    assert measure(tokenizer, ["é"], "tr", None)["unknown_text"] == 0


@pytest.mark.parametrize(("share", "read"), [(0.0, True), (0.02, True), (0.0201, False), (1.0, False)])
def test_a_count_means_something_where_the_text_is_read(share: float, read: bool) -> None:
    assert is_read({"unknown_text": share}) is read


def test_tokens_are_counted_in_new_text_and_losses_looked_for_in_all(tokenizer: Tokenizer) -> None:
    reader = TokenizerSpec(spec=json.loads(tokenizer.to_str()), settings={})
    texts = {"tr": ["ab zz"] * 20 + ["ab"], "de": ["ab zz"] * 19 + ["ab"], "fr": []}
    found = compare_tokenizers(reader, reader, texts, unseen={"tr": 20, "de": 19, "fr": 0})
    assert found["seen"] == ["de"]
    new, all_of_them = (measure(tokenizer, some, "tr", None) for some in (texts["tr"][:20], texts["de"]))
    assert found["fertility"] == {
        "tr": dict.fromkeys(("teacher", "student"), new["tokens_per_word"]),
        "de": dict.fromkeys(("teacher", "student"), all_of_them["tokens_per_word"]),
    }
    only_last = compare_tokenizers(reader, reader, {"tr": ["zz"] * 20 + ["ab"]}, unseen={"tr": 20})
    assert only_last["unused"] == compare_tokenizers(reader, reader, {"tr": ["zz", "ab"]})["unused"]
    assert compare_tokenizers(reader, reader, texts)["seen"] is None


def test_languages_that_a_tokenizer_does_not_read_are_named(tokenizer: Tokenizer) -> None:
    reader = TokenizerSpec(spec=json.loads(tokenizer.to_str()), settings={})
    found = compare_tokenizers(reader, reader, {"tr": ["ab abc d"], "th": ["กขค"]})
    result = TokenizerResult(family="", vocab_size=4, kept=4, added=0, added_reachable=0, specials_kept=0, **found)
    assert result.unread == {("th", "teacher"), ("th", "student")}
