"""`--vocab-size auto`: the smallest trim that costs hardly more tokens than the teacher's own tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hub_tools.config import RunConfig, TokenizerConfig
from hub_tools.core.errors import UserError
from hub_tools.pipeline import run
from hub_tools.stages import plan as planning
from hub_tools.tokenization import adapt, vocabulary_size
from hub_tools.tokenization.adapt import TRIM, Adaptation, Texts
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.unigram import Unigram
from hub_tools.tokenization.vocabulary_size import asked_size, half_size

FAMILIES = ("wordpiece", "byte-level", "gemma", "unigram")
MOST = 0.05  # further tokens, as a share
AUTO = TokenizerConfig(vocab_size="auto")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """These teachers are small, and nearly every token is used: half of one would be too few for anything."""
    monkeypatch.setattr(vocabulary_size, "MOST_FURTHER", MOST)
    monkeypatch.setattr(vocabulary_size, "_STEP", 64)
    monkeypatch.setattr(adapt, "half_size", lambda size: size // 64 * 64)


@pytest.fixture(scope="module")
def readers(pair_texts: dict[str, list[str]]) -> Texts:
    return {lang: partial(iter, own) for lang, own in pair_texts.items()}


def count(tokenizer: TokenizerSpec, texts: list[str]) -> int:
    return sum(len(e.ids) for e in tokenizer.load().encode_batch(texts, add_special_tokens=False))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_size_is_the_smallest_trim_that_costs_hardly_more(
    name: str, small_tokenizers: dict[str, TokenizerSpec], readers: Texts, pair_texts: dict[str, list[str]]
) -> None:
    teacher = small_tokenizers[name]
    search = Adaptation(teacher, readers, targets=("tr",), config=AUTO).search
    words = {lang: sum(len(text.split()) for text in own) for lang, own in pair_texts.items()}

    def tokens(size: int) -> dict[str, int]:
        config = TokenizerConfig(vocab_size=size, learn=0)
        trim = Adaptation(teacher, readers, targets=("tr",), config=config).trim().student
        assert len(trim.vocab) == size
        return {lang: count(trim, own) for lang, own in pair_texts.items()}

    def further(size: int) -> float:
        return max(found / count(teacher, pair_texts[lang]) - 1 for lang, found in tokens(size).items())

    assert 64 < search.size < search.most and search.size % 64 == 0
    assert further(search.size) <= MOST < further(search.size - 64)
    sizes = {size.vocab_size: size.tokens_per_word for size in search.curve}
    assert list(sizes) == sorted(sizes) and {search.size, search.most} <= sizes.keys()
    for size in (search.size, search.most):
        assert sizes[size] == {lang: round(found / words[lang], 4) for lang, found in tokens(size).items()}


def test_where_no_size_is_enough_it_is_half_of_the_teachers(
    small_tokenizers: dict[str, TokenizerSpec], readers: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapt, "half_size", half_size)
    made = Adaptation(small_tokenizers["unigram"], readers, targets=("tr",), config=AUTO)
    assert made.size == half_size(len(small_tokenizers["unigram"].vocab))
    # Sizes without room for what has to stay are not shown.
    assert [size.vocab_size for size in made.sizes] == [512, 1024, made.size]


@pytest.mark.parametrize(
    ("options", "teacher_size", "size"),
    [
        ({}, 100_001, None),
        ({}, 100_000, 50_048),
        ({"vocab_size": "auto"}, 30_522, None),
        ({"vocab_size": 32_000}, 250_002, 32_000),
        ({"keep": 20_000, "learn": 5000}, 250_002, 25_000),
        ({"learn": 5000}, 250_002, None),
    ],
)
def test_large_teachers_leave_the_size_to_the_text(
    options: dict[str, Any], teacher_size: int, size: int | None
) -> None:
    assert asked_size(TokenizerConfig(**options), teacher_size) == size


def test_tokens_are_learned_in_the_size_that_was_found(
    small_tokenizers: dict[str, TokenizerSpec], readers: Texts
) -> None:
    teacher = small_tokenizers["gemma"]

    def adapted(**options: Any) -> Adaptation:
        return Adaptation(teacher, readers, targets=("tr",), config=replace(AUTO, **options))

    size = adapted().size
    made = adapted(learn=10).make()
    assert (len(made.student.vocab), made.learned) == (size, 10)
    assert adapted(keep=size - 20).make().learned == 20
    with pytest.raises(UserError, match=f"--keep {size + 1} is more than the vocabulary has: --vocab-size is {size}."):
        adapted(keep=size + 1).make()
    others = adapted().with_fewer_learned(adapted().make())
    assert TRIM in others and {len(other.student.vocab) for other in others.values()} == {size}


def test_the_order_of_removal_is_found_once_where_no_other_language_changes_it(
    small_tokenizers: dict[str, TokenizerSpec], readers: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = []
    removal_order = Unigram.removal_order

    def counted(self: Unigram, frequency: Mapping[str, float], fixed: set[str]) -> list[tuple[str, float]]:
        orders.append(frequency)
        return removal_order(self, frequency, fixed)

    monkeypatch.setattr(Unigram, "removal_order", counted)
    assert len(Adaptation(small_tokenizers["unigram"], readers, targets=("tr",), config=AUTO).sizes) > 3
    assert len(orders) == 1


def write_texts(folder: Path, texts: dict[str, list[str]]) -> str:
    for lang, own in texts.items():
        lines = [f"{line} {number}\n" for number in range(2) for line in own]
        (folder / f"{lang}.txt").write_text("".join(lines), encoding="utf-8")
    return str(folder / "{lang}.txt")


@pytest.fixture
def config(tiny_teacher: Path, pair_texts: dict[str, list[str]], tmp_path: Path) -> RunConfig:
    options = {"teacher": str(tiny_teacher), "lang": "tr", "output": str(tmp_path / "run"), "device": "cpu"}
    corpus, tokenizer = {"sources": [write_texts(tmp_path, pair_texts)]}, {"vocab_size": "auto"}
    return RunConfig.from_dict({**options, "corpus": corpus, "tokenizer": tokenizer})


def test_a_run_shows_what_other_sizes_cost_and_is_continued(
    config: RunConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "hub_tools")
    report = run(config, last="clone")
    assert report.tokenizer is not None
    found = {size.vocab_size: size for size in report.tokenizer.sizes}
    chosen = found[report.tokenizer.vocab_size]
    assert list(chosen.tokens_per_word) == ["tr", "en"]
    stored = (config.output / "clone/model.safetensors").stat().st_size
    assert chosen.weight_bytes == pytest.approx(stored, abs=20_000)
    assert chosen.params == pytest.approx(stored / 4, abs=5000)
    row = f"| {chosen.vocab_size:,} (chosen) | {chosen.tokens_per_word['tr']:.3f} |"
    assert row in (config.output / "report.md").read_text(encoding="utf-8")
    assert "what the teacher's own tokens cost in vocabularies of several sizes" in caplog.text
    again = run(config, last="clone")
    assert again.timings == report.timings and again.tokenizer == report.tokenizer


def test_the_plan_finds_the_size_in_local_text(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = planning.plan(config).splitlines()
    (first,) = [line for line in lines if line.startswith("tokenizer")]
    size = first.split()[2]
    texts = sum(1 for _ in (config.output.parent / "tr.txt").open())
    assert f"about {size} tokens, as {texts:,} tr and {texts:,} en texts say" in first
    assert any(f"{size} (chosen)" in line for line in lines)
    assert not config.output.exists()
    monkeypatch.setattr(planning, "_TEXTS", 100)
    assert "as 100 tr and 100 en texts say" in planning.plan(config)


def test_the_plan_says_where_the_size_is_found_without_local_text(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = planning.prepare(config, plan_only=True)
    sources = tuple(replace(source, dataset="org/text") for source in job.sources)
    monkeypatch.setattr(planning, "prepare", lambda *_, **__: replace(job, sources=sources))
    assert "tokenizer    at most 15,296 tokens: the tokenizer stage finds out" in planning.plan(config)
