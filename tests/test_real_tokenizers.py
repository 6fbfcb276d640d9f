"""Tekken and Mistral's first tokenizer, as mistral-common carries them."""

from __future__ import annotations

import pytest

from benchmarks import teachers
from hub_tools.config import TokenizerConfig
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.token_map import Match, map_tokens
from hub_tools.tokenization.tokenizer_json import TokenizerSpec


@pytest.fixture(scope="module", params=["tekken", "mistral_v1"])
def teacher(request: pytest.FixtureRequest) -> TokenizerSpec:
    made: TokenizerSpec = getattr(teachers, request.param)()
    return made


@pytest.fixture(scope="module")
def texts(sample_pairs: list[dict[str, str]]) -> dict[str, list[str]]:
    found = {lang: [pair[lang] for pair in sample_pairs] for lang in ("tr", "en")}
    rows = list(read_table(sample_file("languages.tsv")))
    return found | {lang: [row[lang] for row in rows] for lang in ("de", "ru", "zh", "ar")}


def readers(texts: dict[str, list[str]]) -> dict[str, object]:
    return {lang: own.__iter__ for lang, own in texts.items()}


def test_the_own_vocabulary_gives_the_same_ids(teacher: TokenizerSpec, texts: dict[str, list[str]]) -> None:
    size = len(teacher.load().get_vocab(with_added_tokens=True))
    config = TokenizerConfig(vocab_size=size, learn=0, keep_normalizer=True)
    same = Adaptation(teacher, readers(texts), targets=("tr",), config=config).make().student
    lines = [line for own in texts.values() for line in own]
    before, after = (files.load().encode_batch(lines) for files in (teacher, same))
    assert [e.ids for e in before] == [e.ids for e in after]


def test_surgery_on_the_real_thing(teacher: TokenizerSpec, texts: dict[str, list[str]]) -> None:
    made = Adaptation(teacher, readers(texts), targets=("tr",), config=TokenizerConfig(vocab_size=24_000)).make()
    summary = made.summary()
    assert summary["vocab_size"] == 24_000
    assert summary["added_reachable"] == summary["added"] > 0
    assert summary["specials_kept"] == len(teacher.special_tokens)
    assert map_tokens(teacher, made.student).count(Match.UNKNOWN) == 0

    def tokens(files: TokenizerSpec, lang: str) -> int:
        return sum(len(e.ids) for e in files.load().encode_batch_fast(texts[lang], add_special_tokens=False))

    assert tokens(made.student, "tr") < tokens(teacher, "tr")
    decoded = made.student.load().decode(made.student.load().encode(texts["ar"][0], add_special_tokens=False).ids)
    assert decoded == texts["ar"][0]
