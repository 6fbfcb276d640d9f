"""What is particular to BPE: merges, white space, and how long a learned token may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pytest

from benchmarks import teachers
from hub_tools.config import TokenizerConfig
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.bpe import Bpe, byte_alphabet
from hub_tools.tokenization.bpe_merges import learn_merges
from hub_tools.tokenization.pretokenization import reachable_tokens
from hub_tools.tokenization.tokenizer_json import TokenizerSpec


@pytest.fixture(scope="module")
def texts(pair_texts: dict[str, list[str]]) -> dict[str, Callable[[], Iterable[str]]]:
    return {lang: partial(iter, own) for lang, own in pair_texts.items()}


@pytest.fixture(scope="module")
def byte_level(pair_texts: dict[str, list[str]]) -> TokenizerSpec:
    return teachers.byte_level(pair_texts["en"] + ["a\n\n\tb    c"] * 5, 2000)


@pytest.mark.parametrize("family", ["gemma", "byte-level"])
def test_white_space_stays_though_the_corpus_has_none(
    family: str,
    byte_level: TokenizerSpec,
    pair_texts: dict[str, list[str]],
    texts: dict[str, Callable[[], Iterable[str]]],
) -> None:
    gemma = teachers.gemma_shaped(pair_texts["en"], 2500) if family == "gemma" else None
    teacher = gemma or byte_level
    made = Adaptation(teacher, texts, targets=("tr",), config=TokenizerConfig(vocab_size=1400)).make().student
    code = "if a:\n\tb\n\n    c"
    assert made.load().encode("a\nb").tokens == teacher.load().encode("a\nb").tokens
    white = [t for t in teacher.load().encode(code).tokens if not t.strip("▁ĠĊĉ\n\t")]
    assert set(white) <= set(made.load().encode(code).tokens)
    assert len(white) >= 3
    if gemma:
        assert {"\n", "\n" * 31, "\t\t", "▁" * 8, "<start_of_image>", "<end_of_image>"} <= made.vocab.keys()
        assert "<0x0A>" not in made.load().encode("a\nb").tokens


def test_tokens_are_proven_by_merges_where_words_are_taken_whole(
    byte_level: TokenizerSpec, texts: dict[str, Callable[[], Iterable[str]]]
) -> None:
    spec = {**byte_level.spec, "model": {**byte_level.spec["model"], "ignore_merges": True}}
    teacher = TokenizerSpec(spec=spec, settings=byte_level.settings)
    made = Adaptation(teacher, texts, targets=("tr",), config=TokenizerConfig(vocab_size=2000)).make()
    assert made.summary()["added_reachable"] == made.summary()["added"] > 100
    # Without its merge a token still comes out of the word that it is, but of no other.
    added = [token for token in made.student.model_vocab if token not in teacher.model_vocab]
    model = {**made.student.spec["model"], "merges": made.student.spec["model"]["merges"][:-1]}
    last = "".join(made.student.spec["model"]["merges"][-1])
    assert set(added) - set(reachable_tokens(model, added)) == {last}


@pytest.mark.parametrize("word", ["здравствуйте", "გამარჯობა", "नमस्कारदुनिया"])
def test_learned_tokens_are_as_long_in_any_script(word: str, byte_level: TokenizerSpec) -> None:
    family = Bpe(byte_level.spec)
    symbols = byte_alphabet(word.encode())
    ids = {symbol: number for number, symbol in enumerate(sorted(set(symbols)))}
    words, counts = [[ids[symbol] for symbol in symbols]], np.array([9])
    names = {number: symbol for symbol, number in ids.items()}
    assert symbols in [merge.token for merge in learn_merges(words, counts, names, family.allowed)]


def test_no_learned_token_has_more_than_sixteen_characters(byte_level: TokenizerSpec) -> None:
    family = Bpe(byte_level.spec)
    assert family.allowed("a" * 8, "b" * 8)
    assert not family.allowed("a" * 8, "b" * 9)
    letters = byte_alphabet("ж".encode())
    assert family.allowed(letters * 8, letters * 8)
    assert not family.allowed(letters * 9, letters * 8)


def whole_word_model(tokens: str, merges: list[tuple[str, str]]) -> Bpe:
    """A byte-level model of some tokens, whole words among them, that takes whole words without merges."""
    vocab = {token: token_id for token_id, token in enumerate(tokens.split())}
    model = {"type": "BPE", "vocab": vocab, "merges": [list(pair) for pair in merges], "ignore_merges": True}
    return Bpe({"model": model, "pre_tokenizer": {"type": "ByteLevel"}})


def test_what_costs_least_goes_first_where_a_token_becomes_many() -> None:
    model = whole_word_model("a b c d e x y xy abcde", [("x", "y")])
    assert model.removal_order({"xy": 6.0, "abcde": 5.0}, set()) == [("xy", 6.0), ("abcde", 20.0)]


def test_costs_never_fall_though_a_part_costs_less_than_its_whole() -> None:
    model = whole_word_model("a b c d ab abcd", [("a", "b")])
    order = model.removal_order({"ab": 1.0, "abcd": 5.0, "c": 9.0}, set())
    # Without abcd each of its 5 texts has 2 tokens more; ab, by now in 6, costs only 1 more in each.
    assert order == [("abcd", 10.0), ("ab", 10.0)]


def test_characters_spelled_in_bytes_cost_the_further_bytes() -> None:
    vocab = {token: token_id for token_id, token in enumerate([*(f"<0x{b:02X}>" for b in range(256)), *"xyあ", "xy"])}
    model = {"type": "BPE", "vocab": vocab, "merges": [["x", "y"]], "byte_fallback": True}
    order = Bpe({"model": model, "pre_tokenizer": None}).removal_order({"あ": 5.0, "xy": 6.0}, {"x", "y"})
    assert order == [("xy", 6.0), ("あ", 10.0)]
