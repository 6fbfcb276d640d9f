"""The invariants of tokenizer surgery, for each family, on tokenizers trained in-process on the sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from benchmarks import teachers
from hub_tools.config import TokenizerConfig
from hub_tools.core.errors import UserError
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.results import is_read
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.adapted import AdaptedTokenizer
from hub_tools.tokenization.bpe import Bpe
from hub_tools.tokenization.metrics import measure
from hub_tools.tokenization.pretokenization import model_only_tokenizer, reachable_tokens
from hub_tools.tokenization.token_map import Match, compose_from_others, map_tokens
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

FAMILIES = ("byte-level", "gemma", "llama", "unigram", "wordpiece")
LEARNING = ("byte-level", "gemma", "llama", "unigram")


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in read_table(sample_file("languages.tsv")):
        for lang, text in row.items():
            if lang != "id" or len(text) > 5:  # the first column is a number; Indonesian has the same name
                found.setdefault(lang, []).append(text)
    for pair in read_table(sample_file("tr-en.tsv")):
        found.setdefault("tr", []).append(pair["tr"])
        found.setdefault("en", []).append(pair["en"])
    return found


@dataclass
class Case:
    """A teacher and what was made of it."""

    teacher: TokenizerSpec
    adapted: AdaptedTokenizer

    @property
    def student(self) -> TokenizerSpec:
        return self.adapted.student


def readers(texts: dict[str, list[str]]) -> dict[str, Callable[[], Iterable[str]]]:
    return {lang: partial(iter, own) for lang, own in texts.items()}


@pytest.fixture(scope="module")
def teacher_of(texts: dict[str, list[str]], minilm_files: TokenizerSpec) -> dict[str, TokenizerSpec]:
    # As for a teacher that hardly knows the target: one Turkish sentence in ten.
    lines = [t for lang, own in texts.items() for t in (own[::10] if lang == "tr" else own)]
    gemma = teachers.gemma_shaped(lines, 9000)
    return {
        "byte-level": teachers.byte_level(lines, 8000),
        "gemma": gemma,
        "llama": teachers.byte_fallback(
            gemma.model_vocab, [tuple(merge) for merge in gemma.spec["model"]["merges"]], prepend=True
        ),
        "unigram": teachers.unigram(lines, 8000),
        "wordpiece": minilm_files,
    }


@pytest.fixture(scope="module")
def cases(teacher_of: dict[str, TokenizerSpec], texts: dict[str, list[str]]) -> dict[str, Case]:
    config = TokenizerConfig(vocab_size=6000)
    return {
        name: Case(teacher, Adaptation(teacher, readers(texts), targets=("tr",), config=config).make())
        for name, teacher in teacher_of.items()
    }


@pytest.fixture(params=FAMILIES)
def case(request: pytest.FixtureRequest, cases: dict[str, Case]) -> Case:
    return cases[request.param]


def test_exactly_as_many_tokens_as_asked_for_with_ids_in_a_row(case: Case) -> None:
    vocabulary = case.student.load().get_vocab(with_added_tokens=True)
    assert sorted(vocabulary.values()) == list(range(6000))


def test_every_special_token_and_every_byte_survives(case: Case) -> None:
    ours = case.student.load().get_vocab(with_added_tokens=True)
    assert set(case.teacher.special_tokens) <= ours.keys()
    if case.teacher.family == "BPE":
        assert Bpe(case.teacher.spec).atoms <= ours.keys()
        assert len(Bpe(case.student.spec).atoms) >= 256


def test_every_token_added_comes_out_of_some_text(case: Case) -> None:
    summary = case.adapted.summary()
    assert summary["added"] > 500
    assert summary["added_reachable"] == summary["added"]


@pytest.mark.parametrize("name", LEARNING)
def test_every_token_kept_is_still_reached(name: str, cases: dict[str, Case]) -> None:
    case = cases[name]
    kept = [t for t in case.student.model_vocab if t in case.teacher.model_vocab]
    before = set(reachable_tokens(case.teacher.spec["model"], kept))
    assert before <= set(reachable_tokens(case.student.spec["model"], kept))
    assert len(before) > 2000


@pytest.mark.parametrize("name", LEARNING)
def test_tokens_that_no_text_produces_went_first(name: str, cases: dict[str, Case]) -> None:
    assert not any(token.startswith("<unused") for token in cases[name].student.model_vocab)


def test_the_target_needs_fewer_tokens_and_the_others_hardly_more(case: Case, texts: dict[str, list[str]]) -> None:
    def tokens(files: TokenizerSpec, lang: str) -> int:
        return sum(len(e.ids) for e in files.load().encode_batch_fast(texts[lang], add_special_tokens=False))

    assert tokens(case.student, "tr") < 0.8 * tokens(case.teacher, "tr")
    assert tokens(case.student, "en") < 1.25 * tokens(case.teacher, "en")


@pytest.mark.parametrize("name", LEARNING)
def test_learning_more_or_less_than_the_text_asks_for_is_worse(
    name: str, cases: dict[str, Case], texts: dict[str, list[str]]
) -> None:
    best = cases[name].adapted.summary()
    for factor in (0.6, 1.4):
        config = TokenizerConfig(vocab_size=6000, learn=round(factor * best["added"]))
        other = Adaptation(cases[name].teacher, readers(texts), targets=("tr",), config=config).make().summary()
        if other["added"] == config.learn:
            assert other["objective"]["student"] > best["objective"]["student"]
        else:  # the text has no more tokens, so this is hardly more
            assert best["objective"]["student"] < 1.005 * other["objective"]["student"]


@pytest.mark.parametrize("name", ["byte-level", "gemma", "llama"])
def test_where_little_else_counts_most_of_the_vocabulary_is_learned(
    name: str, teacher_of: dict[str, TokenizerSpec], texts: dict[str, list[str]]
) -> None:
    config = TokenizerConfig(vocab_size=3000)
    made = Adaptation(teacher_of[name], readers({"tr": texts["tr"]}), targets=("tr",), config=config).make()
    assert made.summary()["added"] > 1500


@given(text=st.text(max_size=60))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_is_lost_that_the_teacher_kept(name: str, text: str, loaded: dict[str, tuple[Tokenizer, ...]]) -> None:
    check_nothing_is_lost(name, text, loaded)


HARD_TEXTS = (
    "👩\u200d👩\u200d👧\u200d👦 ve 🇹🇷!",
    "שלום עולם",
    "a\u0301\u0323b",
    "\x00\x01\x1f",
    "ığüşöçİĞÜŞÖÇ",
    "x" * 400,
    " \u00a0\u2003 ",
    "\ufeff\ufffd",
    "नमस्ते दुनिया",
    "日本語のテキスト",
    "▁▁ ▁",
    "<0x41><s>",
    "\n\n\t",
    "İSTANBUL'DA 2024'te %50",
    "\U0010fffd\U000e0001",
)


@pytest.mark.parametrize("text", HARD_TEXTS)
@pytest.mark.parametrize("name", FAMILIES)
def test_hard_texts_lose_nothing_that_the_teacher_kept(
    name: str, text: str, loaded: dict[str, tuple[Tokenizer, ...]]
) -> None:
    check_nothing_is_lost(name, text, loaded)


@pytest.fixture(scope="module")
def loaded(cases: dict[str, Case], texts: dict[str, list[str]]) -> dict[str, tuple[Tokenizer, ...]]:
    """Teachers and students; where no bytes spell them, characters that the texts do not have are kept too."""
    config = TokenizerConfig(vocab_size=6000, keep_characters=True)
    keeping = {
        name: Adaptation(cases[name].teacher, readers(texts), targets=("tr",), config=config).make().student
        for name in ("unigram", "wordpiece")
    }
    return {name: (case.teacher.load(), keeping.get(name, case.student).load()) for name, case in cases.items()}


def check_nothing_is_lost(name: str, text: str, loaded: dict[str, tuple[Tokenizer, ...]]) -> None:
    teacher, student = loaded[name]
    # By their ids: an unknown piece of a Unigram model has its text as its token.
    unknown = [
        t.token_to_id({"unigram": "<unk>", "wordpiece": "[UNK]"}.get(name, "<none>")) for t in (teacher, student)
    ]
    theirs, ours = (t.encode(text, add_special_tokens=False) for t in (teacher, student))
    assert all(0 <= number < 6000 for number in ours.ids)
    if unknown[0] not in theirs.ids:
        assert unknown[1] not in ours.ids
        if name == "wordpiece":  # its normalizer was changed on purpose, and no WordPiece keeps spaces
            wanted = student.normalizer.normalize_str(text)
            assert "".join(student.decode(ours.ids, skip_special_tokens=False).split()) == "".join(wanted.split())
        else:
            assert student.decode(ours.ids) == teacher.decode(theirs.ids)


@pytest.mark.parametrize("name", FAMILIES)
def test_lone_surrogates_are_refused(name: str, loaded: dict[str, tuple[Tokenizer, ...]]) -> None:
    with pytest.raises((TypeError, UnicodeEncodeError)):
        loaded[name][1].encode("\ud800")


@pytest.mark.parametrize(("name", "unknown"), zip(FAMILIES, (0, 0, 0, 1, 1), strict=True))
def test_only_what_is_read_is_a_measure(name: str, unknown: float, teacher_of: dict[str, TokenizerSpec]) -> None:
    # Javanese letters, which no vocabulary of the tests has: bytes spell them, or they are unknown.
    tokenizer, unk = teacher_of[name].load(), teacher_of[name].unk_token
    figures = measure(tokenizer, ["ꦗꦮ ꦏꦸꦭ"], "jv", unk)
    assert figures["unknown_text"] == unknown
    assert is_read(figures) == (not unknown)
    assert is_read(measure(tokenizer, ["the cat"], "en", unk))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_teachers_own_vocabulary_gives_the_same_ids(
    name: str, teacher_of: dict[str, TokenizerSpec], texts: dict[str, list[str]]
) -> None:
    teacher = teacher_of[name]
    size = len(teacher.load().get_vocab(with_added_tokens=True))
    config = TokenizerConfig(vocab_size=size, learn=0, keep_normalizer=True)
    same = Adaptation(teacher, readers(texts), targets=("tr",), config=config).make().student
    lines = [line for own in texts.values() for line in own] + list(HARD_TEXTS)
    before, after = (files.load().encode_batch(lines) for files in (teacher, same))
    assert [e.ids for e in before] == [e.ids for e in after]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_texts_give_the_same_file(
    name: str, teacher_of: dict[str, TokenizerSpec], texts: dict[str, list[str]], cases: dict[str, Case]
) -> None:
    config = TokenizerConfig(vocab_size=6000)
    again = Adaptation(teacher_of[name], readers(texts), targets=("tr",), config=config).make()
    assert again.student == cases[name].student


@pytest.mark.parametrize("name", FAMILIES)
def test_keep_and_learn_are_taken_at_their_word(
    name: str, teacher_of: dict[str, TokenizerSpec], texts: dict[str, list[str]]
) -> None:
    theirs = teacher_of[name].load().get_vocab(with_added_tokens=True)
    for config in (TokenizerConfig(keep=4500, learn=500), TokenizerConfig(vocab_size=5000, keep=4500)):
        made = Adaptation(teacher_of[name], readers(texts), targets=("tr",), config=config).make()
        ours = made.student.load().get_vocab(with_added_tokens=True)
        assert len(ours) == 5000
        # What is learned may be a token that the teacher had and that was given up.
        assert 4500 <= len(ours.keys() & theirs.keys()) < (4501 if name == "wordpiece" else 4550)


@pytest.mark.parametrize("name", LEARNING)
def test_impossible_sizes_are_refused(
    name: str, teacher_of: dict[str, TokenizerSpec], texts: dict[str, list[str]]
) -> None:
    own = readers(texts)
    with pytest.raises(UserError, match=r"Give at least \d+\."):
        Adaptation(teacher_of[name], own, targets=("tr",), config=TokenizerConfig(vocab_size=60)).make()
    with pytest.raises(UserError, match="larger than what the text supports"):
        Adaptation(teacher_of[name], own, targets=("tr",), config=TokenizerConfig(vocab_size=400_000)).make()


def test_other_models_are_refused_with_the_reason(texts: dict[str, list[str]], minilm_files: TokenizerSpec) -> None:
    def altered(**model: object) -> TokenizerSpec:
        spec = {**minilm_files.spec, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], **model}}
        return TokenizerSpec(spec=spec, settings={})

    config = TokenizerConfig(vocab_size=100)
    with pytest.raises(UserError, match="end_of_word_suffix='</w>'"):
        Adaptation(altered(end_of_word_suffix="</w>"), readers(texts), targets=("tr",), config=config).make()
    with pytest.raises(UserError, match="is a WordLevel model"):
        Adaptation(altered(type="WordLevel"), readers(texts), targets=("tr",), config=config).make()


@pytest.mark.parametrize("name", LEARNING)
def test_the_map_gives_the_teachers_pieces_in_position(name: str, cases: dict[str, Case]) -> None:
    case = cases[name]
    found = map_tokens(case.teacher, case.student)
    assert found.count(Match.UNKNOWN) == 0
    tokens = sorted(case.student.load().get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
    theirs = case.teacher.load().get_vocab(with_added_tokens=True)
    assert found.count(Match.EXACT) == sum(token in theirs for token, _ in tokens)
    teacher = model_only_tokenizer(case.teacher.spec["model"])
    chosen = np.random.default_rng(0).choice(len(tokens), 300, replace=False)
    for number in chosen.tolist():
        token = tokens[number][0]
        start = found.offsets[number]
        ids = found.token_ids[start : start + found.lengths[number]].tolist()
        assert ids == ([theirs[token]] if token in theirs else teacher.encode(token).ids), token


def test_the_map_between_families_keeps_text_and_position(cases: dict[str, Case]) -> None:
    for ours, theirs in (
        ("byte-level", "gemma"),
        ("gemma", "byte-level"),
        ("unigram", "byte-level"),
        ("gemma", "wordpiece"),
    ):
        student, teacher = cases[ours].student, cases[theirs].teacher
        found = map_tokens(teacher, student)
        names = {number: token for token, number in teacher.load().get_vocab(with_added_tokens=True).items()}
        vocabulary = student.load().get_vocab(with_added_tokens=True)
        token = next(t for t in vocabulary if t.lstrip("▁Ġ") == "kitap" and len(t) == 6)
        number = vocabulary[token]
        start = found.offsets[number]
        pieces = [names[i] for i in found.token_ids[start : start + found.lengths[number]].tolist()]
        joined = "".join(pieces).replace("Ġ", " ").replace("▁", " ").replace("##", "")
        assert joined.strip() == "kitap"
        assert joined.startswith(" ") or theirs == "wordpiece"


@pytest.mark.parametrize("name", LEARNING)
def test_rare_tokens_are_composed_of_the_students_others(name: str, cases: dict[str, Case]) -> None:
    student = cases[name].student
    known = cases[name].teacher.model_vocab
    new = sorted(number for token, number in student.model_vocab.items() if token not in known)
    rare = np.array(new[::7], dtype=np.int64)
    found = compose_from_others(student, rare)
    assert len(found.lengths) == len(rare)
    assert not set(found.token_ids.tolist()) & set(rare.tolist())
    assert found.count(Match.UNKNOWN) == 0


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_written_loads_with_transformers_and_gives_the_same_ids(
    name: str, cases: dict[str, Case], tmp_path: Path, texts: dict[str, list[str]]
) -> None:
    from transformers import AutoTokenizer

    cases[name].student.write(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert len(tokenizer) == 6000
    plain = cases[name].student.load()
    for text in [*texts["tr"][:20], *HARD_TEXTS]:
        assert tokenizer(text)["input_ids"] == plain.encode(text).ids


def test_reserved_rows_that_the_teacher_uses_stay(
    teacher_of: dict[str, TokenizerSpec], texts: dict[str, list[str]], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    teacher = teacher_of["gemma"]
    ids = teacher.vocab
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<unused3>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<unused3>": {"id": "<unused3>", "ids": [ids["<unused3>"]], "tokens": ["<unused3>"]}},
    }
    settings = {**teacher.settings, "pad_token": "<unused0>", "extra_special_tokens": {"image_token": "<unused7>"}}
    given = TokenizerSpec(spec={**teacher.spec, "post_processor": template}, settings=settings)
    made = Adaptation(given, readers(texts), targets=("tr",), config=TokenizerConfig(vocab_size=6000)).make().student
    assert {t for t in made.vocab if t.startswith("<unused")} == {"<unused0>", "<unused3>", "<unused7>"}
    assert made.load().encode("ev").tokens[0] == "<unused3>"
    made.write(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert tokenizer.pad_token_id == made.vocab["<unused0>"]
    assert tokenizer.image_token == "<unused7>"
    assert len(tokenizer) == 6000


def test_reserved_rows_of_wordpiece_go_first(cases: dict[str, Case]) -> None:
    case = cases["wordpiece"]
    reserved = {token for token in case.teacher.model_vocab if token.startswith("[unused")}
    assert len(reserved) > 900
    assert not reserved & case.student.vocab.keys()
    assert case.adapted.summary()["placeholders_dropped"] == len(reserved)


def test_other_marks_of_continued_tokens_are_refused(texts: dict[str, list[str]], minilm_files: TokenizerSpec) -> None:
    model = {**minilm_files.spec["model"], "continuing_subword_prefix": "@@"}
    given = TokenizerSpec(spec={**minilm_files.spec, "model": model}, settings={})
    with pytest.raises(UserError, match="marks continued tokens with '@@'"):
        Adaptation(given, readers(texts), targets=("tr",), config=TokenizerConfig(vocab_size=6000)).make()


def test_pieces_that_do_not_settle_are_refused_and_learned_around(
    teacher_of: dict[str, TokenizerSpec], texts: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_tools.tokenization.unigram._ROUNDS", 0)
    made = Adaptation(
        teacher_of["unigram"], readers(texts), targets=("tr",), config=TokenizerConfig(vocab_size=6000)
    ).make()
    summary = made.summary()
    assert summary["vocab_size"] == 6000
    assert summary["added_reachable"] == summary["added"] > 500
    kept = [t for t in made.student.model_vocab if t in made.teacher.model_vocab]
    before = set(reachable_tokens(made.teacher.spec["model"], kept))
    assert before <= set(reachable_tokens(made.student.spec["model"], kept))


def test_settings_name_only_tokens_that_are_there(
    teacher_of: dict[str, TokenizerSpec], texts: dict[str, list[str]], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    teacher = teacher_of["gemma"]
    named = {"bos_token": "<bos>", "eos_token": "</nowhere>", "chat_template": "{{ messages }}", "padding_side": "left"}
    more = {"additional_special_tokens": ["<unused5>", "<start_of_image>"]}
    given = TokenizerSpec(spec=teacher.spec, settings={**teacher.settings, **named, **more}, chat_template="{{ x }}")
    Adaptation(given, readers(texts), targets=("tr",), config=TokenizerConfig(vocab_size=6000)).make().student.write(
        tmp_path
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert len(tokenizer) == 6000
    assert tokenizer.bos_token == "<bos>"
    assert tokenizer.eos_token is None
    assert {"<unused5>", "<start_of_image>"} <= set(tokenizer.all_special_tokens)
    assert "<unused6>" not in tokenizer.get_vocab()
    assert tokenizer.padding_side == "left"
    assert (tmp_path / "chat_template.jinja").read_text(encoding="utf-8") == "{{ x }}"
