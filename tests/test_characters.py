"""Which characters a vocabulary keeps: those that the text of the languages is written with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Encoding, Tokenizer

from benchmarks import teachers
from hub_tools.config import TokenizerConfig
from hub_tools.core.errors import UserError
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.space.tokenize import TokenizerView
from hub_tools.tokenization import adapt
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.bpe import BYTE_TOKENS, Bpe
from hub_tools.tokenization.characters import needed_characters
from hub_tools.tokenization.make import make_tokenizer
from hub_tools.tokenization.pretokenization import WordCounts, reachable_tokens
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.unigram import Unigram
from hub_tools.tokenization.wordpiece_selection import reachable_pieces

WITHOUT_BYTES = ("unigram", "wordpiece")
Texts = dict[str, Callable[[], Iterable[str]]]


@pytest.fixture(scope="module")
def chinese() -> list[str]:
    return [row["zh"] for row in read_table(sample_file("languages.tsv"))]


@pytest.fixture(scope="module")
def teacher_of(
    chinese: list[str], pair_texts: dict[str, list[str]], minilm_files: TokenizerSpec
) -> dict[str, TokenizerSpec]:
    lines = pair_texts["en"] + pair_texts["tr"] + chinese
    return {
        "unigram": teachers.unigram(lines, 3000),
        "wordpiece": minilm_files,
        "gemma": teachers.gemma_shaped(lines, 4000),
    }


def readers(texts: dict[str, list[str]]) -> Texts:
    return {lang: partial(iter, own) for lang, own in texts.items()}


def characters(tokenizer: TokenizerSpec) -> set[str]:
    return {t.removeprefix("##") for t in tokenizer.model_vocab if len(t.removeprefix("##")) == 1}


def is_chinese(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def counted(**counts: int) -> dict[str, WordCounts]:
    return {"xx": WordCounts(words=list(counts), counts=np.array(list(counts.values())))}


@pytest.mark.parametrize("name", WITHOUT_BYTES)
def test_characters_that_no_text_has_make_room(
    name: str, teacher_of: dict[str, TokenizerSpec], pair_texts: dict[str, list[str]]
) -> None:
    teacher, size = teacher_of[name], {"unigram": 900, "wordpiece": 3000}[name]
    theirs = {c for c in characters(teacher) if is_chinese(c)}
    made = {
        keep: Adaptation(
            teacher,
            readers(pair_texts),
            targets=("tr",),
            config=TokenizerConfig(vocab_size=size, keep_characters=keep),
        )
        .make()
        .student
        for keep in (False, True)
    }
    assert len(theirs) > 100
    assert characters(made[True]) >= characters(teacher)
    assert sum(map(is_chinese, characters(made[False]))) < 0.1 * len(theirs)
    assert all(len(student.vocab) == size for student in made.values())

    def tokens(student: TokenizerSpec) -> int:
        return sum(len(e.ids) for e in student.load().encode_batch(pair_texts["tr"]))

    assert tokens(made[False]) < tokens(made[True])


@pytest.mark.parametrize("name", WITHOUT_BYTES)
@pytest.mark.parametrize("has_room", [True, False], ids=["room", "little room"])
def test_no_text_of_the_languages_becomes_unknown_and_in_small_vocabularies_none_of_target_and_english(
    *,
    name: str,
    has_room: bool,
    teacher_of: dict[str, TokenizerSpec],
    pair_texts: dict[str, list[str]],
    chinese: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if has_room:
        monkeypatch.setattr(adapt, "_ROOM_FOR_CHARACTERS", 1500)
    texts = {**pair_texts, "zh": chinese}
    made = Adaptation(
        teacher_of[name],
        readers(texts),
        targets=("tr",),
        config=TokenizerConfig(vocab_size=4000 if name == "wordpiece" else 1500),
    ).make()
    for lang, own in texts.items():
        theirs, ours = (t.load().encode_batch(own) for t in (made.teacher, made.student))
        lost = [
            a.tokens for a, b in zip(theirs, ours, strict=True) if unknown(made.student, b) > unknown(made.teacher, a)
        ]
        assert bool(lost) == (lang == "zh" and not has_room)


def unknown(tokenizer: TokenizerSpec, encoding: Encoding) -> int:
    # Not by tokens: an unknown piece of a Unigram model has its text as its token.
    return encoding.ids.count(tokenizer.vocab[tokenizer.unk_token or ""])


@pytest.fixture(scope="module")
def small(
    teacher_of: dict[str, TokenizerSpec], pair_texts: dict[str, list[str]]
) -> dict[str, tuple[TokenizerSpec, Tokenizer, Tokenizer]]:
    sizes = {"unigram": 900, "wordpiece": 3000}
    made = {
        name: Adaptation(
            teacher_of[name], readers(pair_texts), targets=("tr",), config=TokenizerConfig(vocab_size=sizes[name])
        )
        .make()
        .student
        for name in WITHOUT_BYTES
    }
    return {name: (student, teacher_of[name].load(), student.load()) for name, student in made.items()}


@given(
    text=st.text(
        alphabet="abcçdefgğhıijklmnoöprsştuüvyzqwxABCÇDEFGĞHIİJKLMNOÖPRSŞTUÜVYZQWX0123456789 .,;:!?'\"@/%&+-=#_()",
        max_size=60,
    )
)
@settings(max_examples=100, deadline=None)
@pytest.mark.parametrize("name", WITHOUT_BYTES)
def test_what_the_languages_are_written_with_is_never_unknown(
    name: str,
    text: str,
    small: dict[str, tuple[TokenizerSpec, Tokenizer, Tokenizer]],
    teacher_of: dict[str, TokenizerSpec],
) -> None:
    student, theirs, ours = small[name]
    if unknown(teacher_of[name], theirs.encode(text)) == 0:
        assert unknown(student, ours.encode(text)) == 0


@pytest.mark.parametrize("name", WITHOUT_BYTES)
def test_every_token_is_still_reached(
    name: str, small: dict[str, tuple[TokenizerSpec, Tokenizer, Tokenizer]], teacher_of: dict[str, TokenizerSpec]
) -> None:
    student, theirs = small[name][0], teacher_of[name]
    kept = [t for t in student.model_vocab if t in theirs.model_vocab and t not in theirs.added_tokens]
    if name == "unigram":
        before = reachable_tokens(theirs.spec["model"], kept)
        assert set(before) == set(reachable_tokens(student.spec["model"], before))
    else:
        assert reachable_pieces(kept, student.model_vocab, "[UNK]") == set(kept)


def test_the_rarest_characters_of_much_text_are_foreign_and_of_little_text_are_not(minilm_files: TokenizerSpec) -> None:
    def needed(**counts: int) -> set[str]:
        return needed_characters(minilm_files, counted(**counts), keep_all=False)

    assert "京" in needed(ev=10_000, 京=1)
    much = needed(ev=200_000, 京=1, 都=1, ж=3)
    assert not {"京", "都"} & much
    assert "ж" in much
    # All that are as rare as one that is needed are needed too.
    assert {"京", "都"} <= needed(ev=60_000, 京=1, 都=1)


def test_both_cases_and_ascii_are_needed_and_bytes_spell_the_rest(teacher_of: dict[str, TokenizerSpec]) -> None:
    found = needed_characters(teacher_of["unigram"], counted(ağ=9), keep_all=False)
    assert {"ğ", "Ğ", "A", "@", "7", "~"} <= found
    assert all(len(c) == 1 for c in found)
    assert needed_characters(teacher_of["gemma"], counted(ağ=9), keep_all=False) == set()
    assert "ğ" in needed_characters(teacher_of["gemma"], counted(ev=9), keep_all=True)


def test_characters_that_bytes_can_spell_stay_where_they_pay(
    teacher_of: dict[str, TokenizerSpec], pair_texts: dict[str, list[str]]
) -> None:
    kept = {}
    for keep in (False, True):
        config = TokenizerConfig(vocab_size=1500, keep_characters=keep)
        made = Adaptation(teacher_of["gemma"], readers(pair_texts), targets=("tr",), config=config).make().student
        kept[keep] = characters(made)
        assert set("abcçğış") <= kept[keep] and set(BYTE_TOKENS) <= made.vocab.keys()
    assert not any(map(is_chinese, kept[False]))
    assert sum(map(is_chinese, kept[True])) > 100


def test_a_character_without_bytes_goes_only_where_the_unknown_token_can_stand_for_it() -> None:
    def model(**more: object) -> Bpe:
        vocab = {token: number for number, token in enumerate(["<unk>", "a", "b", "京", "ab"])}
        spec = {"type": "BPE", "vocab": vocab, "merges": [["a", "b"]], **more}
        return Bpe({"model": spec, "pre_tokenizer": None})

    order = model(unk_token="<unk>").removal_order({"京": 2.0, "ab": 3.0}, {"a", "b"})
    assert order == [("京", 2.0), ("ab", 3.0)]
    assert model().removal_order({"京": 2.0, "ab": 3.0}, {"<unk>", "a", "b"}) == [("ab", 3.0)]


def unigram(*pieces: str) -> Unigram:
    vocab = [["<unk>", 0.0], *([piece, -1.0 - number] for number, piece in enumerate(pieces))]
    return Unigram({"model": {"type": "Unigram", "unk_id": 0, "vocab": vocab}, "pre_tokenizer": None})


def test_unused_characters_go_after_other_unused_pieces() -> None:
    order = unigram("a", "b", "ab", "京", "都", "京都").removal_order({"ab": 5.0}, {"a", "b"})
    assert [piece for piece, _ in order] == ["京都", "都", "京", "ab"]


def test_the_last_piece_with_a_needed_character_stays() -> None:
    order = unigram("a", "京a", "都a").removal_order({}, {"a", "京"})
    assert order == [("都a", 0.0)]


def test_the_message_says_what_has_to_stay(
    teacher_of: dict[str, TokenizerSpec], pair_texts: dict[str, list[str]]
) -> None:
    for name in WITHOUT_BYTES:
        texts = readers({"tr": pair_texts["tr"][:200]})

        def make(size: int, keep: bool, name: str = name, texts: Texts = texts) -> int:
            config = TokenizerConfig(vocab_size=size, keep_characters=keep, learn=0)
            return len(Adaptation(teacher_of[name], texts, targets=("tr",), config=config).make().student.vocab)

        with pytest.raises(UserError, match=r"Give at least \d+\.") as few:
            make(60, keep=False)
        with pytest.raises(UserError, match=r"--keep-characters") as many:
            make(60, keep=True)
        least, most = (int(str(error.value).rstrip(".").rsplit(" ", 1)[1]) for error in (few, many))
        assert least < 330 < most
        assert make(least, keep=False) == least
        assert make(most, keep=True) == most


def test_longer_words_are_warned_of(
    teacher_of: dict[str, TokenizerSpec],
    pair_texts: dict[str, list[str]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def warnings(size: int) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="hub_tools"):
            make_tokenizer(
                Adaptation(
                    teacher_of["unigram"],
                    readers(pair_texts),
                    targets=("tr",),
                    config=TokenizerConfig(vocab_size=size, learn=0),
                    max_seq_length=64,
                    text_count=1,
                ),
                tmp_path,
                samples=pair_texts,
            )
        return [record.getMessage() for record in caplog.records]

    (warning,) = warnings(300)
    assert "more tokens per word than with the teacher's tokenizer: " in warning
    assert "tr " in warning and "en " in warning and " -> " in warning
    assert warnings(len(teacher_of["unigram"].vocab)) == []


def test_texts_that_become_unknown_are_counted_and_warned_of(
    teacher_of: dict[str, TokenizerSpec],
    pair_texts: dict[str, list[str]],
    chinese: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger="hub_tools"):
        result = make_tokenizer(
            Adaptation(
                teacher_of["unigram"],
                readers(pair_texts),
                targets=("tr",),
                config=TokenizerConfig(vocab_size=900, learn=0),
                max_seq_length=64,
                text_count=1,
            ),
            tmp_path,
            samples={"zh": chinese},
        )
    assert result.new_unknowns > 10
    assert any("only the teacher can read; --keep-characters keeps them" in line for line in caplog.messages)


def test_the_page_marks_what_a_unigram_model_cannot_read(teacher_of: dict[str, TokenizerSpec]) -> None:
    tokenizer = TokenizerView(teacher_of["unigram"])
    tokens = tokenizer.tokenize("ev ༗", tokenizer)["tokens"]
    assert [token["unknown"] for token in tokens if not set("ev▁") >= set(token["token"])] == [True]
    assert not tokens[0]["unknown"]
