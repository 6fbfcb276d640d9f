"""The plain trim: the teacher's tokenizer cut to the same size, which no student may be worse than."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from hub_tools.cloning.clone import clone
from hub_tools.config import DistillConfig, TokenizerConfig
from hub_tools.corpus.build import Corpus
from hub_tools.models.encoder import Encoded
from hub_tools.models.loading import load_model
from hub_tools.models.resolve import find_teacher
from hub_tools.results import DistillResult
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.training.distill import distill
from hub_tools.vectors.dataset import EmbeddingDataset, Row, Shard, write_manifest, write_shard
from tests.training_job import CPU


@pytest.fixture(scope="module")
def adaptation(minilm_files: TokenizerSpec, pair_texts: dict[str, list[str]]) -> Adaptation:
    readers = {lang: partial(iter, own) for lang, own in pair_texts.items()}
    return Adaptation(minilm_files, readers, target="tr", config=TokenizerConfig(vocab_size=4000))


def test_the_trim_has_the_same_size_and_nothing_that_the_teacher_lacks(
    small_tokenizers: dict[str, TokenizerSpec], pair_texts: dict[str, list[str]]
) -> None:
    readers = {lang: partial(iter, own) for lang, own in pair_texts.items()}
    for name, teacher in small_tokenizers.items():
        made = Adaptation(teacher, readers, target="tr", config=TokenizerConfig(vocab_size=2300))
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
    made = Adaptation(minilm_files, readers, target="tr", config=config).make()
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
    assert "not as near to its goal as the plain trim, which is the student now" in caplog.text


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
