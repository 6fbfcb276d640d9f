"""The vocabulary map between any two families, with small tokenizers of each."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from benchmarks import teachers
from hub_tools.tokenization.special_tokens import match_special_tokens, token_for
from hub_tools.tokenization.token_map import Match, TokenMap, map_tokens
from hub_tools.tokenization.token_text import TokenAlphabet, surface_of
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

FAMILIES = ("byte-level", "gemma", "llama", "unigram", "wordpiece")
READ_BYTES = ("byte-level", "gemma", "llama")


@pytest.fixture(scope="module")
def small(sample_pairs: list[dict[str, str]], minilm_files: TokenizerSpec) -> dict[str, TokenizerSpec]:
    lines = [pair[lang] for pair in sample_pairs[:300] for lang in ("tr", "en")]
    gemma = teachers.gemma_shaped(lines, 1500)
    merges = [tuple(merge) for merge in gemma.spec["model"]["merges"]]
    return {
        "byte-level": teachers.byte_level(lines, 1200),
        "gemma": gemma,
        "llama": teachers.byte_fallback(gemma.model_vocab, merges, prepend=True),
        "unigram": teachers.unigram(lines, 1000),
        "wordpiece": minilm_files,
    }


def pieces_of(found: TokenMap, teacher: TokenizerSpec, student: TokenizerSpec) -> dict[str, list[str]]:
    """The teacher's tokens of each of the student's."""
    names = {number: token for token, number in teacher.vocab.items()}
    ends = np.cumsum(found.lengths)
    tokens = sorted(student.vocab, key=student.vocab.__getitem__)
    rows = zip(tokens, (ends - found.lengths).tolist(), ends.tolist(), strict=True)
    return {token: [names[i] for i in found.token_ids[start:end].tolist()] for token, start, end in rows}


@pytest.mark.parametrize(("ours", "theirs"), list(product(FAMILIES, FAMILIES)))
def test_every_row_comes_from_the_same_text(ours: str, theirs: str, small: dict[str, TokenizerSpec]) -> None:
    student, teacher = small[ours], small[theirs]
    found = map_tokens(teacher, student)
    alphabet, special = TokenAlphabet.of(teacher), match_special_tokens(student, teacher)
    backend = teacher.load()
    for (token, pieces), kind in zip(pieces_of(found, teacher, student).items(), found.kinds.tolist(), strict=True):
        text, begins = TokenAlphabet.of(student).decode(token)
        if kind == Match.UNKNOWN:  # only what the teacher cannot read
            ids = backend.encode(text.decode(errors="ignore"), add_special_tokens=False).ids
            assert theirs not in READ_BYTES and (not ids or teacher.vocab[teacher.unk_token or ""] in ids), token
        elif kind == Match.EXACT and token not in special:
            own, at_start = alphabet.decode(pieces[0])
            assert own == text, (token, pieces)
            # Punctuation has a place of its own in words; it says nothing of spaces.
            assert at_start == begins or "wordpiece" in (ours, theirs) or ours == theirs, (token, pieces)
        elif theirs in ("byte-level", "gemma") and token not in student.added_tokens:
            decoded = [alphabet.decode(piece) for piece in pieces]
            joined = b"".join((b" " if starts else b"") + part for part, starts in decoded)
            assert joined.removeprefix(b" ") == text, (token, pieces)
    if theirs in READ_BYTES:
        assert found.count(Match.UNKNOWN) == 0


def test_parts_of_characters_are_bytes_and_no_letters(small: dict[str, TokenizerSpec]) -> None:
    student, teacher = small["byte-level"], small["gemma"]
    pieces = pieces_of(map_tokens(teacher, student), teacher, student)
    assert pieces["é"] == ["<0xE9>"] and pieces["ç"] == ["<0xE7>"] and pieces["Ã"] == ["<0xC3>"]
    assert pieces["Ã§"] == ["ç"] and pieces["A"] == ["A"]
    back = pieces_of(map_tokens(student, teacher), student, teacher)
    assert back["<0xE9>"] == ["é"] and back["ç"] == ["Ã§"]


def test_a_teacher_without_bytes_reads_a_part_as_the_characters_that_have_it(small: dict[str, TokenizerSpec]) -> None:
    student, teacher = small["byte-level"], small["unigram"]
    pieces = pieces_of(map_tokens(teacher, student), teacher, student)["Ä"]  # the byte C4: ğ and ı begin with it
    assert {"ğ", "ı"} <= {surface_of(teacher, token)[0] for token in pieces}
    assert all(surface_of(teacher, token)[0].encode().startswith(b"\xc4") for token in pieces)


def test_a_space_before_a_part_of_a_character_is_not_unknown(small: dict[str, TokenizerSpec]) -> None:
    files, teacher = small["byte-level"], small["wordpiece"]
    model = {**files.spec["model"], "vocab": {**files.model_vocab, "ĠÃ": max(files.vocab.values()) + 1}}
    student = TokenizerSpec(spec={**files.spec, "model": model}, settings={})
    pieces = pieces_of(map_tokens(teacher, student), teacher, student)["ĠÃ"]
    assert pieces and all(surface_of(teacher, token)[0].encode().startswith(b"\xc3") for token in pieces)


def test_words_that_begin_stay_words_that_begin(small: dict[str, TokenizerSpec]) -> None:
    student, teacher = small["wordpiece"], small["gemma"]
    pieces = pieces_of(map_tokens(teacher, student), teacher, student)
    assert pieces["the"] == ["▁the"]
    assert pieces["##er"] == ["er"]
    assert pieces["!"] == ["!"] and pieces[","] == [","]
    back = pieces_of(map_tokens(student, teacher), student, teacher)
    assert back["▁the"] == ["the"] and back["er"] == ["##er"] and back["!"] == ["!"]


def with_roles(files: TokenizerSpec, **settings: str) -> TokenizerSpec:
    return TokenizerSpec(spec=files.spec, settings={**files.settings, **settings})


def test_special_tokens_meet_by_their_roles(small: dict[str, TokenizerSpec]) -> None:
    bert = small["wordpiece"]
    gemma = with_roles(small["gemma"], bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", mask_token="<mask>")
    assert match_special_tokens(gemma, bert) | {"<unk>": "[UNK]"} == match_special_tokens(gemma, bert)
    pieces = pieces_of(map_tokens(bert, gemma), bert, gemma)
    wanted = {"<bos>": "[CLS]", "<eos>": "[SEP]", "<pad>": "[PAD]", "<unk>": "[UNK]", "<mask>": "[MASK]"}
    assert {token: pieces[token] for token in wanted} == {token: [own] for token, own in wanted.items()}
    assert token_for("pad_token_id", gemma) == "<pad>"
    assert token_for("cls_token_id", gemma) == "<bos>" and token_for("sep_token_id", gemma) == "<eos>"
    assert token_for("image_token_id", gemma) is None


def test_a_token_that_ends_texts_and_fills_them_up_is_an_end(small: dict[str, TokenizerSpec]) -> None:
    template = {"type": "TemplateProcessing", "single": [{"Sequence": {}}, {"SpecialToken": {"id": "<|endoftext|>"}}]}
    spec = {**small["byte-level"].spec, "post_processor": template}
    assert "<|endoftext|>" in small["byte-level"].vocab
    qwen = TokenizerSpec(spec=spec, settings={"pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"})
    assert match_special_tokens(qwen, small["wordpiece"])["<|endoftext|>"] == "[SEP]"
    assert token_for("pad_token_id", qwen) == "<|endoftext|>"
