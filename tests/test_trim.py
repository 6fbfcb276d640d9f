"""The plain trim: the teacher's tokenizer cut to the same size, which no student may be worse than."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from hub_tools.cloning.clone import clone
from hub_tools.config import DistillConfig, RunConfig, TokenizerConfig
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.pairs import Pair
from hub_tools.evaluation import frontier
from hub_tools.evaluation.frontier import choose, heldout_goals
from hub_tools.evaluation.subject import Subject
from hub_tools.models.encoder import Encoded
from hub_tools.models.loading import load_model
from hub_tools.models.resolve import find_teacher
from hub_tools.pipeline import run
from hub_tools.results import Agreement, DistillResult, Split
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.training.distill import distill
from hub_tools.vectors.dataset import EmbeddingDataset, Row, Shard, write_manifest, write_shard
from tests.training_job import CPU


@pytest.fixture(scope="module")
def adaptation(minilm_files: TokenizerSpec, pair_texts: dict[str, list[str]]) -> Adaptation:
    readers = {lang: partial(iter, own) for lang, own in pair_texts.items()}
    return Adaptation(minilm_files, readers, targets=("tr",), config=TokenizerConfig(vocab_size=4000))


def test_the_trim_has_the_same_size_and_nothing_that_the_teacher_lacks(
    small_tokenizers: dict[str, TokenizerSpec], pair_texts: dict[str, list[str]]
) -> None:
    readers = {lang: partial(iter, own) for lang, own in pair_texts.items()}
    for name, teacher in small_tokenizers.items():
        made = Adaptation(teacher, readers, targets=("tr",), config=TokenizerConfig(vocab_size=2300))
        student, trim = made.make(), made.trim()
        assert len(trim.student.vocab) == len(student.student.vocab) == 2300, name
        assert trim.student.vocab.keys() <= teacher.vocab.keys(), name
        assert trim.student.spec["normalizer"] == teacher.spec["normalizer"], name
        assert trim.is_trim and not student.is_trim, name


def test_a_tokenizer_with_nothing_learned_but_another_normalizer_is_no_trim(
    minilm_files: TokenizerSpec, pair_texts: dict[str, list[str]]
) -> None:
    readers = {lang: partial(iter, own) for lang, own in pair_texts.items()}
    config = TokenizerConfig(vocab_size=4000, learn=0)
    made = Adaptation(minilm_files, readers, targets=("tr",), config=config).make()
    assert made.change.notes and not made.is_trim  # MiniLM takes the dots and cedillas from Turkish letters


@pytest.fixture(scope="module")
def models(
    tiny_teacher: Path, adaptation: Adaptation, no_text: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A clone with learned tokens and the trim, of a teacher with random weights."""
    root = tmp_path_factory.mktemp("models")
    for name, made in (("clone", adaptation.make()), ("trim", adaptation.trim())):
        made.student.write(root / name / "tokenizer")
        clone(find_teacher(str(tiny_teacher)), root / name / "tokenizer", no_text, root / name / "model", init="mean")
    return {name: root / name / "model" for name in ("clone", "trim")}


@pytest.fixture(scope="module")
def goals(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path], pair_texts: dict[str, list[str]]) -> Path:
    """The trim's own vectors as what is to be learned: nothing is nearer to them."""
    folder = tmp_path_factory.mktemp("goals")
    texts, model = pair_texts["tr"][:80], load_model(models["trim"], device="cpu")
    for split, part in (("train", texts[:40]), ("validation", texts[40:])):
        vectors = model.encode(part, normalize_embeddings=True).astype(np.float32)
        rows = [Row(text, "tr", None, "tr", None) for text in part]
        shard = Shard(folder / f"{split}-00000.parquet", split, rows)
        write_shard(shard, Encoded(vectors, np.ones(len(part))), "float32")
    unknown = dict.fromkeys(
        ("teacher", "revision", "precision", "max_seq_length", "truncation_side", "pooling", "default_prompt_name")
    )
    write_manifest(folder, {**unknown, "prompts": {}, "prompting": None})
    return folder


def trained(start: Path, goals: Path, out: Path, *, trim: Path, may_keep_trim: bool = True) -> DistillResult:
    config = DistillConfig(steps=1, learning_rate=1e-6)
    data = EmbeddingDataset(goals)
    return distill(start, data, out, config, hardware=CPU, seed=1, trim=trim, may_keep_trim=may_keep_trim)


def same_weights(a: Path, b: Path) -> bool:
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (a, b))
    return all(ours[name].shape == theirs[name].shape and bool((ours[name] == theirs[name]).all()) for name in theirs)


def test_a_student_below_the_trim_is_refused(
    models: dict[str, Path], goals: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = trained(models["clone"], goals, tmp_path, trim=models["trim"])
    assert result.kept_trim
    assert result.agreement is not None and result.trim_agreement is not None
    assert result.trim_agreement.ranks == pytest.approx(1, abs=1e-6)
    assert result.agreement.ranks < 0.999
    assert same_weights(tmp_path, models["trim"])
    assert (tmp_path / "tokenizer.json").read_bytes() == (models["trim"] / "tokenizer.json").read_bytes()
    assert "further from its goal than the plain trim, which is the student now" in caplog.text


def test_who_says_how_many_tokens_to_learn_gets_them_and_a_warning(
    models: dict[str, Path], goals: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = trained(models["clone"], goals, tmp_path, trim=models["trim"], may_keep_trim=False)
    assert not result.kept_trim
    assert not same_weights(tmp_path, models["trim"])
    assert "is made if --learn and --keep are left out" in caplog.text


def test_a_student_above_the_trim_stays(models: dict[str, Path], goals: Path, tmp_path: Path) -> None:
    result = trained(models["trim"], goals, tmp_path, trim=models["clone"])  # the other way round
    assert not result.kept_trim
    assert (tmp_path / "tokenizer.json").read_bytes() == (models["trim"] / "tokenizer.json").read_bytes()


def split(name: str, learned: int, ranks: float) -> Split:
    found = Agreement(cosine=1, ranks=ranks, neighbours=1, spread=1)
    return Split(tokenizer=name, learned=learned, tokens_per_word={"tr": 1.5}, agreement=found)


@pytest.mark.parametrize(
    ("ranks", "chosen"),
    [
        ((0.90, 0.94, 0.96, 0.99), "trim"),  # a teacher that reads the language well
        ((0.90, 0.94, 0.985, 0.99), "quarter"),  # within a hundredth
        ((0.60, 0.50, 0.45, 0.40), ""),  # one that does not: what is learned is nearer at once
    ],
)
def test_as_many_tokens_are_learned_as_leave_the_clone_as_near_as_the_trim(
    ranks: tuple[float, ...], chosen: str
) -> None:
    names = ("", "half", "quarter", "trim")
    splits = {
        name: split(name, 800 >> place, near) for place, (name, near) in enumerate(zip(names, ranks, strict=True))
    }
    assert choose(splits, "trim") == chosen


def test_goals_are_the_teachers_vectors_and_for_translations_those_of_their_source(tiny_teacher: Path) -> None:
    teacher = Subject(lambda: load_model(tiny_teacher, device="cpu"), CPU)
    corpus: Any = SimpleNamespace(
        languages=("tr", "en"),
        has_pairs=True,
        pairs=lambda _: [Pair(f"a text {n}", f"bir metin {n}", "en", "a.tsv") for n in range(60)],
        texts=lambda lang, *_: [f"{lang} {n}" for n in range(5)],
    )
    goals = heldout_goals(teacher, corpus, ("tr",))
    assert goals is not None
    # This teacher finds no translations, so its own vectors of Turkish are no goal.
    assert goals.texts == [f"bir metin {n}" for n in range(60)]
    sources = [f"a text {n}" for n in range(60)]
    assert np.array_equal(goals.vectors, teacher.encode(sources, "query", "goals"))
    assert goals.reached_by(teacher).cosine < 1
    corpus.pairs = lambda _: []
    # No English ones, which learned tokens hardly touch; five texts say nothing.
    corpus.texts = lambda lang, *_: [f"{lang} {n}" for n in range(60 if lang == "en" else 5)]
    assert heldout_goals(teacher, corpus, ("tr",)) is None
    english = heldout_goals(teacher, corpus, ("tr", "en"))
    assert english is not None and english.texts[5:] == [f"en {n}" for n in range(60)]


def test_a_run_takes_the_split_that_leaves_vectors_as_they_are(
    tiny_teacher: Path, pair_texts: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rows of a teacher with random weights say nothing of a token's parts: only the trim would be level.
    monkeypatch.setattr(frontier, "_LEVEL", 0.39)
    for lang, own in pair_texts.items():
        lines = [f"{line} {number}\n" for number in range(9) for line in own]  # enough for some to be held out
        (tmp_path / f"{lang}.txt").write_text("".join(lines), encoding="utf-8")
    options = {"teacher": str(tiny_teacher), "lang": "tr", "output": str(tmp_path / "run"), "device": "cpu"}
    sections = {"corpus": {"sources": [str(tmp_path / "{lang}.txt")]}, "tokenizer": {"vocab_size": 4096}}
    report = run(RunConfig.from_dict({**options, **sections}), last="clone")
    assert report.clone is not None and report.tokenizer is not None
    splits = {found.tokenizer: found for found in report.clone.splits}
    assert list(splits) == ["", "half", "quarter", "trim"]
    learned = [found.learned for found in report.clone.splits]
    assert learned == sorted(learned, reverse=True) and learned[-1] == 0
    chosen = report.clone.tokenizer
    assert chosen == choose(splits, "trim") == "quarter"  # more of them would be too far from the vectors
    assert report.tokenizer.added == splits[chosen].learned
    clone, made = (tmp_path / "run" / folder / "tokenizer.json" for folder in ("clone", f"tokenizer/{chosen}"))
    assert clone.read_bytes() == made.read_bytes()
    trim, made = (tmp_path / "run" / folder / "tokenizer.json" for folder in ("clone/trim", "tokenizer/trim"))
    assert trim.read_bytes() == made.read_bytes()
