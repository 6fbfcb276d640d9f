"""Static students: rows from the teacher's vectors of tokens, and a model that other tools read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from hub_tools.cloning.static import token_vectors, write_static
from hub_tools.config import RunConfig
from hub_tools.config_clone import CloneConfig
from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.models.encoder import encode
from hub_tools.models.loading import SAFE, is_static, load_model
from hub_tools.models.text_pooling import TextPooling
from hub_tools.pipeline import run
from hub_tools.reporting.report import Report
from tests.conftest import whole_job

CPU = Hardware(device="cpu", precision="fp32")


@pytest.mark.parametrize("name", ["bert", "labse", "qwen3", "t5"])
def test_a_row_is_the_vector_of_its_token_alone(name: str, small_teachers: dict[str, Path]) -> None:
    whole = load_model(small_teachers[name], device="cpu")
    rows = token_vectors(whole)
    assert rows.shape == (len(whole.tokenizer), len(encode(whole, ["x"], CPU)[0]))
    tokenizer = whole.tokenizer.backend_tokenizer
    tokenizer.no_padding()
    texts = [
        text for text in ("Merhaba", "a", "the", "s", "e") if len(tokenizer.encode(text, add_special_tokens=False)) == 1
    ]
    assert texts
    expected = encode(whole, texts, CPU, prompt="")
    tokens = [tokenizer.encode(text, add_special_tokens=False).ids[0] for text in texts]
    assert np.abs(rows[tokens] - expected).max() < 1e-4


def test_a_static_model_is_saved_as_one(tiny_teacher: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_teacher, tmp_path / "whole"))
    settings = {"prompts": {"query": "query: "}, "default_prompt_name": "query", "truncate_dim": 16}
    write_json(folder / "config_sentence_transformers.json", settings)
    write_static(folder, ["a rare word", "a word", "a"], tmp_path / "static", CPU, SAFE)
    model, whole = load_model(tmp_path / "static", device="cpu"), load_model(folder, device="cpu")
    assert is_static(model)
    assert [module["type"].rpartition(".")[2] for module in read_json(tmp_path / "static" / "modules.json")] == [
        "StaticEmbedding",
        "Normalize",
    ]
    assert (model.prompts, model.default_prompt_name) == (whole.prompts, whole.default_prompt_name)
    vectors = SentenceTransformer(str(tmp_path / "static"), device="cpu").encode(["one text", "a much longer text"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors.shape[1] == 16
    common, rare = (model.tokenizer.encode(text, add_special_tokens=False).ids[-1] for text in ("a", "a rare word"))
    rows, alone = model[0].embedding.weight.detach().numpy(), token_vectors(whole)
    lengths = [np.linalg.norm(rows[token]) / np.linalg.norm(alone[token]) for token in (common, rare)]
    assert lengths[0] < lengths[1]  # what is in every text says little


def test_without_text_all_tokens_count_alike(tiny_teacher: Path) -> None:
    """So the rows of a static student, which are weighed by this, are never divided by 0."""
    rarity = TextPooling.of(load_model(tiny_teacher, device="cpu"), []).rarity
    assert rarity.min() == rarity.max() > 0


@pytest.fixture(scope="module")
def trained(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """A run of a static student, and its report."""
    folder = tmp_path_factory.mktemp("static") / "run"
    options = whole_job(tiny_teacher, folder)
    options |= {"clone": {"static": True}, "tokenizer": {"use": str(tiny_teacher)}}
    options["distill"] = {"steps": 6, "batch_tokens": 2048, "eval_steps": 2, "learning_rate": 1e-2}
    return folder, run(RunConfig.from_dict(options), last="distill")


def test_a_run_makes_and_trains_a_static_student(trained: tuple[Path, Report]) -> None:
    folder, report = trained
    assert report.clone is not None and report.distill is not None
    assert report.clone.is_static
    assert (report.distill.cosine_after or 0) > (report.distill.cosine_before or 0)
    assert is_static(load_model(folder / "student", device="cpu"))
    assert not list((folder / "clone").glob(".candidate"))
    assert "the mean of its tokens' rows" in (folder / "report.md").read_text()


def test_model2vec_reads_a_static_student(trained: tuple[Path, Report]) -> None:
    """As docs/smaller.md says: it does not know from the files that vectors have length 1 and texts any length."""
    student = str(trained[0] / "student")
    opened = pytest.importorskip("model2vec").StaticModel.from_pretrained(student, normalize=True, max_length=None)
    texts = ["Merhaba", "Kütüphane bugün açık mı?", "The library is open. " * 300]
    expected = SentenceTransformer(student, device="cpu").encode(texts)
    assert np.abs(opened.encode(texts) - expected).max() < 1e-5


def test_what_a_static_student_cannot_have_is_refused(small_teachers: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--static makes a student without layers"):
        CloneConfig(static=True, layers=(2,))
    options = whole_job(small_teachers["static"], tmp_path / "run") | {"clone": {"static": True}}
    with pytest.raises(UserError, match=r"--static: .* is static itself"):
        run(RunConfig.from_dict(options), last="clone")
