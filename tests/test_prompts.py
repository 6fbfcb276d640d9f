"""Prompts and templates keep the teacher's pieces, and so do texts that no learned token touches."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from benchmarks import teachers
from hub_tools.config import TokenizerConfig
from hub_tools.core.files import write_json
from hub_tools.corpus.build import build_corpus
from hub_tools.corpus.sources import find_sources
from hub_tools.models.resolve import find_teacher
from hub_tools.stages.base import Finished, parts_of
from hub_tools.stages.tokenizer import TokenizerStage
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.adapted import AdaptedTokenizer
from hub_tools.tokenization.make import use_tokenizer
from hub_tools.tokenization.prompts import PromptPieces, changed_prompts
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

V = 1500
FAMILIES = ("wordpiece", "unigram", "byte-level", "llama", "gemma")
GEMMAS = {"query": "task: search result | query: ", "document": "title: none | text: "}
CLOSED = (*GEMMAS.values(), "query: ", "passage: ", "Represent this sentence: ")
# No white space stands between it and the text.
OPEN = "find passages\nanswer:"
# Text of the target from which the words of the prompts, and what follows an open one, are worth learning.
TEMPTING = [
    "query querying passages passage none task search result represent this sentence find",
    "searching results :title text:evet (answer:evet) answer:kitap finding represented sentences",
] * 60


@dataclass
class Case:
    """A teacher, its student, and the words of the languages."""

    adapted: AdaptedTokenizer
    teacher: Tokenizer
    student: Tokenizer
    words: list[str]

    @property
    def learned(self) -> set[str]:
        plan = self.adapted.plan
        return set(plan.tokens[plan.kept :])


@pytest.fixture(scope="module")
def teacher_of(pair_texts: dict[str, list[str]], minilm_files: TokenizerSpec) -> dict[str, TokenizerSpec]:
    lines = pair_texts["en"] + pair_texts["tr"][::3]
    gemma = teachers.gemma_shaped(lines, 2500)
    merges = [tuple(merge) for merge in gemma.spec["model"]["merges"]]
    return {
        "wordpiece": minilm_files,
        "unigram": teachers.unigram(lines, 2500),
        "byte-level": teachers.byte_level(lines, 2500),
        "llama": teachers.byte_fallback(gemma.model_vocab, merges, prepend=True),
        "gemma": gemma,
    }


@pytest.fixture(scope="module")
def cases(teacher_of: dict[str, TokenizerSpec], pair_texts: dict[str, list[str]]) -> dict[str, Case]:
    texts = {**pair_texts, "tr": pair_texts["tr"] + TEMPTING}
    readers = {lang: partial(iter, own) for lang, own in texts.items()}
    words = [word for own in texts.values() for text in own for word in text.split()]
    found = {}
    for name in FAMILIES:
        config, prompts = TokenizerConfig(vocab_size=V, learn=400), (*CLOSED, OPEN)
        made = Adaptation(teacher_of[name], readers, targets=("tr",), config=config, prompts=prompts).make()
        found[name] = Case(made, teacher_of[name].load(), made.student.load(), words)
    return found


@pytest.fixture(params=FAMILIES)
def case(request: pytest.FixtureRequest, cases: dict[str, Case]) -> Case:
    return cases[request.param]


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.id_to_token(number) for number in tokenizer.encode(text, add_special_tokens=False).ids]


@given(data=st.data())
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_before_any_text_has_the_teachers_pieces(
    name: str, data: st.DataObject, cases: dict[str, Case]
) -> None:
    case = cases[name]
    prompt = data.draw(st.sampled_from(CLOSED))
    text = data.draw(st.text(max_size=12) | st.sampled_from(case.words) | st.sampled_from('"(«1Ş-'))
    theirs = pieces(case.teacher, prompt.rstrip())
    assert pieces(case.teacher, prompt + text)[: len(theirs)] == theirs
    assert pieces(case.student, prompt + text)[: len(theirs)] == theirs


def test_exactly_as_many_tokens_as_asked_for(case: Case) -> None:
    assert len(case.student.get_vocab(with_added_tokens=True)) == V
    assert len(case.learned) == 400


@pytest.mark.parametrize("name", FAMILIES)
def test_no_learned_token_joins_the_end_of_a_prompt_and_the_text(name: str, cases: dict[str, Case]) -> None:
    case = cases[name]
    for text in ("evet", "kitap", '"evet"', "Ankara", "1"):
        theirs, ours = pieces(case.teacher, OPEN + text), pieces(case.student, OPEN + text)
        alone = pieces(case.teacher, OPEN)
        if theirs[: len(alone)] == alone:
            assert ours[: len(alone)] == alone
    assert not any(token.startswith(":") for token in case.learned)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_text_that_no_learned_token_touches_has_the_teachers_pieces(
    name: str, data: st.DataObject, cases: dict[str, Case], untouched: dict[str, list[str]]
) -> None:
    case = cases[name]
    text = " ".join(data.draw(st.lists(st.sampled_from(untouched[name]), min_size=1, max_size=8)))
    assume(is_untouched(case, text))
    assert pieces(case.student, text) == pieces(case.teacher, text)


@pytest.fixture(scope="module")
def untouched(cases: dict[str, Case]) -> dict[str, list[str]]:
    found = {
        name: [word for word in sorted(set(case.words))[::3] if is_untouched(case, f"x {word}")]
        for name, case in cases.items()
    }
    assert all(len(words) > 100 for words in found.values())
    return found


def is_untouched(case: Case, text: str) -> bool:
    """Whether the teacher's pieces of a text are all kept, and no learned token is in it or in place of a piece."""
    theirs = pieces(case.teacher, text)
    # Where a piece continues a word is not looked at: more than need be counts as touched.
    written = "".join(piece.removeprefix("##") for piece in theirs)
    kept = case.adapted.student.vocab.keys() - case.learned - {case.adapted.student.unk_token}
    normalized = [t.normalizer.normalize_str(text) if t.normalizer else text for t in (case.teacher, case.student)]
    return (
        kept >= set(theirs)
        and normalized[0] == normalized[1]
        and not any(token.removeprefix("##") in written for token in case.learned)
    )


def test_learned_tokens_that_occur_in_a_prompt_touch_it(minilm_files: TokenizerSpec) -> None:
    found = PromptPieces.of(minilm_files, ["PASSAGE of Istanbul: "])
    assert {"passage", "of", "istanbul", ":"} == found.tokens
    assert all(map(found.touched_by, ("pass", "passage", "##ssage", "##anbul", "is")))
    # Longest match begins where a word does, or goes on inside it.
    assert not any(map(found.touched_by, ("ssage", "anbul", "passages", "##stanbulda", "ofis")))


def test_only_byte_level_tokens_can_join_an_open_end(teacher_of: dict[str, TokenizerSpec]) -> None:
    of = partial(PromptPieces.of, teacher_of["byte-level"])
    assert of(["Query =>"]).open_ends == ("=>", ">", "Ġ=>")
    assert of(["查询\uff1a"]).open_ends == ("ï¼ļ",)
    assert of(["Query: "]).open_ends == of(["Query"]).open_ends == ()
    assert PromptPieces.of(teacher_of["unigram"], ["Query:"]).open_ends == ()


def test_what_the_template_and_the_settings_name_stays_though_it_is_not_marked_special(
    teacher_of: dict[str, TokenizerSpec], pair_texts: dict[str, list[str]]
) -> None:
    files = teacher_of["wordpiece"]
    plain = replace(files, spec={**files.spec, "added_tokens": []})
    readers = {lang: partial(iter, own) for lang, own in pair_texts.items()}
    made = Adaptation(plain, readers, targets=("tr",), config=TokenizerConfig(vocab_size=1000)).make().student
    assert {"[CLS]", "[SEP]", "[PAD]", "[UNK]"} <= made.vocab.keys()
    tokens = made.load().encode("ev").tokens
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")


def test_a_token_set_aside_stays_where_a_prompt_names_it(
    teacher_of: dict[str, TokenizerSpec], pair_texts: dict[str, list[str]]
) -> None:
    readers = {lang: partial(iter, own) for lang, own in pair_texts.items()}
    config, prompts = TokenizerConfig(vocab_size=2000), ["<unused7> "]
    made = Adaptation(teacher_of["gemma"], readers, targets=("tr",), config=config, prompts=prompts).make().student
    assert {token for token in made.vocab if token.startswith("<unused")} == {"<unused7>"}
    assert pieces(made.load(), "<unused7> ev")[0] == "<unused7>"


@pytest.fixture(scope="module")
def stage(
    teacher_of: dict[str, TokenizerSpec],
    pair_texts: dict[str, list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> TokenizerStage:
    root = tmp_path_factory.mktemp("stage")
    teacher_of["unigram"].write(root / "teacher")
    write_json(root / "teacher" / "config_sentence_transformers.json", {"prompts": GEMMAS})
    for lang, own in pair_texts.items():
        (root / f"{lang}.txt").write_text("\n".join(own), encoding="utf-8")
    build_corpus(
        root / "corpus",
        find_sources(str(root / "{lang}.txt"), ("tr", "en"), 1),
        [],
        targets=("tr",),
        languages=("tr", "en"),
        limits={},
        seed=1,
        tokenizer=teacher_of["unigram"].load(),
        max_tokens=512,
    )
    return TokenizerStage(
        teacher=find_teacher(str(root / "teacher"), tokenizer_only=True),
        corpus=Finished(path=root / "corpus", identity="corpus"),
        targets=("tr",),
        prompts={"query": "Represent this sentence: "},
        ready=None,
        config=TokenizerConfig(vocab_size=1000),
        layers=(),
        static=False,
    )


def test_the_stage_protects_the_teachers_prompts_and_those_of_the_options(
    stage: TokenizerStage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="hub_tools"):
        stage.work(tmp_path)
    teacher, student = (TokenizerSpec.read(folder).load() for folder in (stage.teacher.path, tmp_path))
    for prompt in (*GEMMAS.values(), *stage.prompts.values()):
        theirs = pieces(teacher, prompt.rstrip())
        assert pieces(student, prompt + "Kitap")[: len(theirs)] == theirs
    assert "the prompt" not in caplog.text


def test_prompts_are_a_part_of_the_stages_key(stage: TokenizerStage) -> None:
    assert parts_of(stage) != parts_of(replace(stage, prompts={"query": "query: "}))


def test_a_ready_tokenizer_that_reads_a_prompt_otherwise_is_warned_of(
    cases: dict[str, Case], teacher_of: dict[str, TokenizerSpec], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def warnings(ready: TokenizerSpec) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="hub_tools"):
            prompts, samples = ["passage: ", "query: "], {"tr": ["Kitap okudum."]}
            use_tokenizer(teacher_of["unigram"], ready, tmp_path, max_seq_length=64, samples=samples, prompts=prompts)
        return [line for line in caplog.messages if "the prompt" in line]

    assert warnings(teacher_of["unigram"]) == []
    assert warnings(cases["unigram"].adapted.student) == []
    theirs, ours = (
        " ".join(pieces(tokenizer, "passage:")) for tokenizer in (cases["unigram"].teacher, cases["wordpiece"].student)
    )
    said = warnings(cases["wordpiece"].adapted.student)
    assert "the prompt 'passage: ' is tokenized differently than by the teacher" in said[0]
    assert f"{theirs} -> {ours}" in said[0]


def test_a_prompt_with_letters_that_the_teacher_destroys_is_read_as_the_student_reads(
    minilm_files: TokenizerSpec, pair_texts: dict[str, list[str]]
) -> None:
    readers = {lang: partial(iter, own) for lang, own in pair_texts.items()}
    prompts, config = ["görüş: ", "query: "], TokenizerConfig(vocab_size=1500)
    made = Adaptation(minilm_files, readers, targets=("tr",), config=config, prompts=prompts).make().student
    (found,) = changed_prompts(minilm_files, made, prompts, [])
    assert found.prompt == "görüş: "
    assert "".join(found.teacher).replace("##", "") == "gorus:"
    assert "".join(found.student).replace("##", "") == "görüş:"
