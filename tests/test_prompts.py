"""Prompts and templates keep the teacher's pieces, and so do texts that no learned token touches."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from hub_tools.api import build_corpus
from hub_tools.config import TokenizerConfig
from hub_tools.core.hardware import Hardware
from hub_tools.models.encoder import encode
from hub_tools.models.loading import load_model
from hub_tools.models.resolve import find_teacher
from hub_tools.results import CloneResult
from hub_tools.stages.base import Finished, parts_of
from hub_tools.stages.job import ReadyTokenizer
from hub_tools.stages.tokenizer import TokenizerStage
from hub_tools.tokenization.adapt import AdaptedTokenizer, adapt_tokenizer
from hub_tools.tokenization.prompts import PromptPieces, changed_prompts
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.architectures import ARCHITECTURES, PROMPTS

CPU = Hardware(device="cpu", precision="fp32")
FAMILIES = ("wordpiece", "unigram", "byte-level", "llama", "gemma")
CLOSED = (*PROMPTS.values(), "query: ", "passage: ", "Represent this sentence: ")
# No white space stands between it and the text.
OPEN = "Instruct: find passages\nQuery:"
# Text of the target from which the words of the prompts, and what follows an open one, are worth learning.
TEMPTING = [
    "query querying passages passage none task search result represent this sentence find",
    "searching results :title text:evet (Query:evet) Query:kitap Instruct: represented sentences",
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
def cases(small_tokenizers: dict[str, TokenizerSpec], pair_texts: dict[str, list[str]]) -> dict[str, Case]:
    texts = {**pair_texts, "tr": pair_texts["tr"] + TEMPTING}
    readers = {lang: partial(iter, own) for lang, own in texts.items()}
    words = [word for own in texts.values() for text in own for word in text.split()]
    found = {}
    for name in FAMILIES:
        config = TokenizerConfig(vocab_size=1800 if name == "gemma" else 1500)
        prompts = (*CLOSED, OPEN)
        made = adapt_tokenizer(small_tokenizers[name], readers, target="tr", config=config, prompts=prompts)
        found[name] = Case(made, small_tokenizers[name].load(), made.student.load(), words)
    return found


@pytest.fixture(params=FAMILIES)
def case(request: pytest.FixtureRequest, cases: dict[str, Case]) -> Case:
    return cases[request.param]


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.id_to_token(number) for number in tokenizer.encode(text, add_special_tokens=False).ids]


@given(data=st.data())
@settings(max_examples=150, deadline=None)
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


def test_the_words_of_prompts_would_have_been_learned_or_given_up(
    case: Case, small_tokenizers: dict[str, TokenizerSpec], request: pytest.FixtureRequest
) -> None:
    assert len(case.learned) > 100
    assert len(case.student.get_vocab(with_added_tokens=True)) in (1500, 1800)
    # The teacher reads none of the prompts as one piece a word: there is something to break.
    assert any(len(pieces(case.teacher, word)) > 1 for prompt in CLOSED for word in prompt.split())


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
@settings(max_examples=150, deadline=None)
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
        name: [word for word in dict.fromkeys(case.words) if is_untouched(case, f"x {word}")]
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


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_where_the_pieces_are_the_teachers_so_is_the_vector(
    name: str,
    small_teachers: dict[str, Path],
    small_clones: dict[str, tuple[Path, CloneResult]],
    pair_texts: dict[str, list[str]],
) -> None:
    folders = (small_teachers[name], small_clones[name][0])
    tokenizers = [Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in folders]
    words = dict.fromkeys(word for own in pair_texts.values() for text in own for word in text.split())
    for prompt in ("", *(ARCHITECTURES[name].prompts or {}).values()):
        same = [
            text
            for text in (*words, *pair_texts["en"])
            if pieces(tokenizers[0], prompt + text) == pieces(tokenizers[1], prompt + text)
        ][:200]
        assert len(same) > 100
        theirs, ours = (encode(load_model(folder, device="cpu"), same, CPU, prompt=prompt) for folder in folders)
        norms = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours, axis=1)
        assert (np.einsum("nd,nd->n", theirs, ours) / norms).min() > 0.9999


def test_learned_tokens_that_occur_in_a_prompt_touch_it(minilm_files: TokenizerSpec) -> None:
    found = PromptPieces.of(minilm_files, ["PASSAGE of Istanbul: "])
    assert {"passage", "of", "istanbul", ":"} == found.tokens
    assert all(map(found.touched_by, ("pass", "passage", "##ssage", "##anbul", "is")))
    # Longest match begins where a word does, or goes on inside it.
    assert not any(map(found.touched_by, ("ssage", "anbul", "passages", "##stanbulda", "##of", "ofis")))


def test_only_byte_level_tokens_can_join_an_open_end(small_tokenizers: dict[str, TokenizerSpec]) -> None:
    of = partial(PromptPieces.of, small_tokenizers["byte-level"])
    assert of(["Query =>"]).open_ends == ("=>", ">", "Ġ=>")
    assert of(["查询\uff1a"]).open_ends == ("ï¼ļ",)
    assert of(["Query: "]).open_ends == of(["Query"]).open_ends == ()
    assert PromptPieces.of(small_tokenizers["unigram"], ["Query:"]).open_ends == ()


def test_what_the_template_and_the_settings_name_stays_though_it_is_not_marked_special(
    small_tokenizers: dict[str, TokenizerSpec], pair_texts: dict[str, list[str]]
) -> None:
    files = small_tokenizers["wordpiece"]
    plain = replace(files, spec={**files.spec, "added_tokens": []})
    readers = {lang: partial(iter, own) for lang, own in pair_texts.items()}
    made = adapt_tokenizer(plain, readers, target="tr", config=TokenizerConfig(vocab_size=1000)).student
    assert {"[CLS]", "[SEP]", "[PAD]", "[UNK]"} <= made.vocab.keys()
    assert made.load().encode("ev").tokens == ["[CLS]", "ev", "[SEP]"]


def test_a_token_set_aside_stays_where_a_prompt_names_it(
    small_tokenizers: dict[str, TokenizerSpec], pair_texts: dict[str, list[str]]
) -> None:
    readers = {lang: partial(iter, own) for lang, own in pair_texts.items()}
    config, prompts = TokenizerConfig(vocab_size=2000), ["<unused7> "]
    made = adapt_tokenizer(small_tokenizers["gemma"], readers, target="tr", config=config, prompts=prompts).student
    assert {token for token in made.vocab if token.startswith("<unused")} == {"<unused7>"}
    assert pieces(made.load(), "<unused7> ev")[0] == "<unused7>"


@pytest.fixture(scope="module")
def stage(
    small_teachers: dict[str, Path], pair_texts: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> TokenizerStage:
    teacher = find_teacher(str(small_teachers["qwen3"]))
    out = tmp_path_factory.mktemp("corpus") / "corpus"
    corpus = build_corpus({**pair_texts, "tr": pair_texts["tr"] + TEMPTING}, teacher=teacher, target="tr", out=out)
    return TokenizerStage(
        teacher=teacher,
        corpus=Finished(path=corpus.path, identity="corpus"),
        target="tr",
        prompts={"query": "Represent this sentence: "},
        ready=None,
        config=TokenizerConfig(vocab_size=1400),
    )


def test_the_stage_protects_the_teachers_prompts_and_those_of_the_options(
    stage: TokenizerStage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="hub_tools"):
        stage.work(tmp_path)
    student, teacher = TokenizerSpec.read(tmp_path).load(), TokenizerSpec.read(stage.teacher.input_folder).load()
    for prompt in (*PROMPTS.values(), *stage.prompts.values()):
        theirs = pieces(teacher, prompt.rstrip())
        assert pieces(student, prompt + "Kitap")[: len(theirs)] == theirs
    assert "the prompt" not in caplog.text


def test_prompts_are_a_part_of_the_stages_key(stage: TokenizerStage) -> None:
    assert parts_of(stage) != parts_of(replace(stage, prompts={"query": "query: "}))


def test_a_ready_tokenizer_that_reads_a_prompt_otherwise_is_warned_of(
    stage: TokenizerStage, cases: dict[str, Case], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def warnings(folder: Path) -> str:
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="hub_tools"):
            replace(stage, ready=ReadyTokenizer(folder, None)).work(tmp_path / f"out-{folder.name}")
        return "\n".join(line for line in caplog.messages if "the prompt" in line)

    assert warnings(stage.teacher.input_folder) == ""
    cases["wordpiece"].adapted.student.write(tmp_path / "other")
    said = warnings(tmp_path / "other")
    assert "the prompt 'Represent this sentence: ' has other pieces than with the teacher" in said
    theirs = pieces(TokenizerSpec.read(stage.teacher.input_folder).load(), "Represent this sentence:")
    ours = pieces(cases["wordpiece"].student, "Represent this sentence:")
    assert f"{' '.join(theirs)} -> {' '.join(ours)}" in said


def test_a_prompt_with_letters_that_the_teacher_destroys_is_read_as_the_student_reads(
    minilm_files: TokenizerSpec, pair_texts: dict[str, list[str]]
) -> None:
    readers = {lang: partial(iter, own) for lang, own in pair_texts.items()}
    prompts, config = ["görüş: ", "query: "], TokenizerConfig(vocab_size=1500)
    made = adapt_tokenizer(minilm_files, readers, target="tr", config=config, prompts=prompts).student
    (found,) = changed_prompts(minilm_files, made, prompts, [])
    assert found.prompt == "görüş: "
    assert "".join(found.teacher).replace("##", "") == "gorus:"
    assert "".join(found.student).replace("##", "") == "görüş:"
