from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from tokenizers import Tokenizer, models, trainers

from hub_tools.core.errors import UserError
from hub_tools.tokenization.language_weights import language_weights, others_share
from hub_tools.tokenization.pretokenization import count_words, segment
from hub_tools.tokenization.prompts import PromptPieces
from hub_tools.tokenization.token_map import Match, map_tokens
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.wordpiece import PREFIX, learn_tokens, segmenter
from hub_tools.tokenization.wordpiece_selection import (
    SelectionInput,
    VocabularyPlan,
    reachable_pieces,
    select_wordpiece_vocabulary,
    tokens_by_language,
)

V = 6000


@pytest.fixture(scope="module")
def texts(sample_pairs: list[dict[str, str]]) -> dict[str, list[str]]:
    return {lang: [pair[lang] for pair in sample_pairs] for lang in ("tr", "en")}


def plan_for(
    files: TokenizerSpec, texts: dict[str, list[str]], vocab_size: int, exactly: int | None = None
) -> VocabularyPlan:
    tokenizer = files.load()
    word_counts = {lang: count_words(tokenizer, own) for lang, own in texts.items()}
    vocab = files.spec["model"]["vocab"]
    selection = SelectionInput(
        teacher_vocab=vocab,
        unk_token="[UNK]",
        word_counts=word_counts,
        token_counts=tokens_by_language(segmenter(vocab, "[UNK]"), vocab, word_counts),
        targets=("tr",),
        words=word_counts["tr"],
        weights=language_weights(list(texts), ("tr",), vocab_size),
        needed=set().union(*vocab),
        prompts=PromptPieces(),
    )
    specials = [token["content"] for token in files.spec["added_tokens"]]
    return select_wordpiece_vocabulary(
        selection,
        special_tokens=specials,
        vocab_size=vocab_size,
        letters=("ş", "ğ"),
        learn=partial(learn_tokens, selection.words),
        exactly=exactly,
    )


@pytest.fixture(scope="module")
def plan(minilm_files: TokenizerSpec, texts: dict[str, list[str]]) -> VocabularyPlan:
    return plan_for(minilm_files, texts, V)


def vocabulary(plan: VocabularyPlan) -> dict[str, int]:
    return {token: index for index, token in enumerate(plan.tokens)}


def test_exactly_as_many_tokens_as_asked_for(plan: VocabularyPlan) -> None:
    assert len(plan.tokens) == len(set(plan.tokens)) == V


def test_kept_tokens_are_the_teachers_and_specials_are_among_them(
    plan: VocabularyPlan, minilm_files: TokenizerSpec
) -> None:
    theirs = minilm_files.spec["model"]["vocab"]
    assert all(token in theirs for token in plan.tokens[: plan.kept])
    assert not any(token in theirs for token in plan.tokens[plan.kept :])
    assert {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} <= set(plan.tokens)


def test_every_single_character_of_the_teacher_stays(plan: VocabularyPlan, minilm_files: TokenizerSpec) -> None:
    single = {t for t in minilm_files.spec["model"]["vocab"] if len(t.removeprefix(PREFIX)) == 1}
    assert single <= set(plan.tokens)
    assert {"ş", "##ş", "ğ", "##ğ"} <= set(plan.tokens)


def test_every_token_can_be_produced(plan: VocabularyPlan) -> None:
    tokens = [t for t in plan.tokens if not t.startswith("[")]
    assert reachable_pieces(tokens, vocabulary(plan), "[UNK]") == set(tokens)


def test_an_unreachable_token_is_noticed() -> None:
    # "##bc" never follows "a": "abc" is a token, and no other character begins a word.
    tokens = {"[UNK]": 0, "a": 1, "##b": 2, "##c": 3, "##bc": 4, "abc": 5}
    assert reachable_pieces(["##bc"], tokens, "[UNK]") == set()


def test_shares_are_tried_from_end_to_end_and_ever_closer(plan: VocabularyPlan) -> None:
    tried = sorted(map(float, plan.objective))
    assert (tried[0], tried[-1]) == (0.0, 1.0)
    assert plan.split in tried
    assert plan.objective[f"{plan.split:.4g}"] == min(plan.objective.values())
    assert min(abs(share - plan.split) for share in tried if share != plan.split) == pytest.approx(0.025)


def test_as_many_new_tokens_as_asked_for(minilm_files: TokenizerSpec, texts: dict[str, list[str]]) -> None:
    made = plan_for(minilm_files, texts, 5000, exactly=1000)
    added = made.tokens[made.kept :]
    assert len(added) == 1000
    assert reachable_pieces(added, vocabulary(made), "[UNK]") == set(added)
    with pytest.raises(UserError, match=r"--learn 4000 is impossible here|supports only \d+ new tokens"):
        plan_for(minilm_files, texts, 7000, exactly=4000)


def test_no_text_becomes_unknown_that_the_teacher_could_read(plan: VocabularyPlan, minilm_files: TokenizerSpec) -> None:
    theirs = minilm_files.spec["model"]["vocab"]
    letters = sorted({c for t in theirs if not t.startswith("[") for c in t.removeprefix(PREFIX)})
    random = np.random.default_rng(0)
    words = ["".join(random.choice(letters, size=length)) for length in random.integers(1, 13, size=20_000)]
    ours = segment(segmenter(vocabulary(plan), "[UNK]"), words)
    teacher = segment(segmenter(theirs, "[UNK]"), words)
    unknown = vocabulary(plan)["[UNK]"]
    lost = [w for w, a, b in zip(words, teacher, ours, strict=True) if a != [theirs["[UNK]"]] and b == [unknown]]
    assert lost == []


def test_learned_tokens_shorten_the_target(
    plan: VocabularyPlan, minilm_files: TokenizerSpec, texts: dict[str, list[str]]
) -> None:
    table = count_words(minilm_files.load(), texts["tr"])
    before, after = (
        sum(len(ids) * n for ids, n in zip(segment(t, table.words), table.counts.tolist(), strict=True))
        for t in (segmenter(minilm_files.spec["model"]["vocab"], "[UNK]"), segmenter(vocabulary(plan), "[UNK]"))
    )
    assert after < 0.75 * before


def test_impossible_sizes_are_refused(minilm_files: TokenizerSpec, texts: dict[str, list[str]]) -> None:
    with pytest.raises(UserError, match=r"too small: \d+ tokens have to stay, .* Give at least \d+\."):
        plan_for(minilm_files, texts, 500)
    with pytest.raises(UserError, match="larger than what the text supports"):
        plan_for(minilm_files, texts, 60_000)


def test_weights_sum_to_one_and_favour_the_target() -> None:
    weights = language_weights(["tr", "en", "fr", "de"], ("tr",), 131_072)
    assert sum(weights.values()) == pytest.approx(1)
    assert weights == pytest.approx({"tr": 0.35, "en": 0.25, "fr": 0.2, "de": 0.2})
    assert language_weights(["en"], ("en",), 131_072) == {"en": 1.0}


def test_targets_weigh_alike_and_english_among_them_brings_its_weight() -> None:
    two = language_weights(["tr", "de", "en", "fr"], ("tr", "de"), 131_072)
    assert two == pytest.approx({"tr": 0.175, "de": 0.175, "en": 0.25, "fr": 0.4})
    bilingual = language_weights(["tr", "en", "fr", "de"], ("tr", "en"), 131_072)
    assert bilingual == pytest.approx({"tr": 0.3, "en": 0.3, "fr": 0.2, "de": 0.2})
    assert sum(language_weights(["tr", "en", "de"], ("de", "en", "tr"), 131_072).values()) == pytest.approx(1)
    for size in (8_192, 65_536, 131_072):
        weights = language_weights(["tr", "en", "fr", "de"], ("tr",), size)
        assert others_share(size) == pytest.approx(weights["fr"] + weights["de"])


def test_other_languages_weigh_more_in_larger_vocabularies() -> None:
    def of_others(vocab_size: int) -> float:
        weights = language_weights(["tr", "en", "fr", "de"], ("tr",), vocab_size)
        assert sum(weights.values()) == pytest.approx(1)
        assert weights["tr"] / weights["en"] == pytest.approx(0.35 / 0.25)
        return weights["fr"] + weights["de"]

    small, larger, middle, large = map(of_others, (32_768, 33_792, 65_536, 131_072))
    assert of_others(1) == small == pytest.approx(0.01 / 0.61)
    assert small < larger < 1.5 * middle < large
    assert middle == pytest.approx(0.205 / 0.805)
    assert of_others(250_000) == large == pytest.approx(0.4)


def test_the_map_composes_in_position(plan: VocabularyPlan, minilm_files: TokenizerSpec) -> None:
    student = TokenizerSpec(
        spec={
            **minilm_files.spec,
            "model": {**minilm_files.spec["model"], "vocab": vocabulary(plan)},
            "added_tokens": [],
        },
        settings={},
    )
    found = map_tokens(minilm_files, student)
    teacher: Tokenizer = minilm_files.load()
    tokens = plan.tokens
    rows = [found.token_ids[start : start + n].tolist() for start, n in zip(found.offsets, found.lengths, strict=True)]
    assert found.count(Match.EXACT) == plan.kept
    assert found.count(Match.UNKNOWN) == 0
    for token, ids in zip(tokens, rows, strict=True):
        if token in minilm_files.spec["model"]["vocab"]:
            assert ids == [teacher.token_to_id(token)]
            continue
        # The slow and obvious way: the teacher's pieces of the normalized surface, one longest match at a time.
        text = teacher.normalizer.normalize_str(token.removeprefix(PREFIX))
        assert ids == longest_match(text, minilm_files.spec["model"]["vocab"], inside=token.startswith(PREFIX)), token


def longest_match(text: str, vocabulary: dict[str, int], *, inside: bool) -> list[int]:
    ids, start = [], 0
    while start < len(text):
        prefix = PREFIX if start or inside else ""
        end = next(e for e in range(len(text), start, -1) if prefix + text[start:e] in vocabulary)
        ids.append(vocabulary[prefix + text[start:end]])
        start = end
    return ids


def test_the_same_texts_give_the_same_tokens(minilm_files: TokenizerSpec, texts: dict[str, list[str]]) -> None:
    words = count_words(minilm_files.load(), texts["tr"])
    first, *others = (learn_tokens(words, 3000) for _ in range(4))
    assert all(other == first for other in others)


def test_words_teach_what_the_texts_would(minilm_files: TokenizerSpec, texts: dict[str, list[str]]) -> None:
    reader = minilm_files.load()
    words = count_words(reader, texts["tr"])
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer, learner.pre_tokenizer = reader.normalizer, reader.pre_tokenizer
    alphabet = [form for c in sorted(set("".join(words.words))) for form in (c, PREFIX + c)]
    trainer = trainers.WordPieceTrainer(vocab_size=3000, min_frequency=2, special_tokens=alphabet, show_progress=False)
    learner.train_from_iterator(texts["tr"], trainer)
    by_id = sorted(learner.get_vocab(), key=learner.get_vocab().__getitem__)
    assert learn_tokens(words, 3000) == [token for token in by_id if len(token.removeprefix(PREFIX)) > 1]
