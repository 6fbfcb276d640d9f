"""Vectors that others computed: which are taken, which are refused, and that the teacher is not asked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from hub_tools.config import EmbedConfig, PublishConfig, RunConfig
from hub_tools.core.errors import UserError
from hub_tools.core.files import write_json
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.contamination import EvaluationTexts
from hub_tools.hub.repos import chosen_ids
from hub_tools.models.loading import SAFE
from hub_tools.pipeline import run
from hub_tools.results import EmbeddingsResult
from hub_tools.vectors.dataset import EmbeddingDataset
from hub_tools.vectors.imported import find_embeddings, import_embeddings
from tests.commands import hub_distill, refused
from tests.fake_hub import FakeHub
from tests.test_run import plain

CPU = Hardware(device="cpu", precision="fp32")
TEXTS = [f"Cümle {number}, a sentence of its own." for number in range(400)]


@pytest.fixture(scope="module")
def vectors(tiny_teacher: Path) -> np.ndarray:
    return np.asarray(SentenceTransformer(str(tiny_teacher), device="cpu").encode(TEXTS))


def write(folder: Path, vectors: Any, *, text: str = "sentence", vector: str = "vec", **more: Any) -> Path:
    """A dataset as others make them: other names, plain lists of doubles."""
    lists = [[float(x) for x in row] for row in vectors]
    folder.mkdir(parents=True)
    datasets.Dataset.from_dict({"id": range(len(lists)), text: TEXTS, vector: lists, **more}).to_parquet(
        folder / "data.parquet"
    )
    return folder


def take(folder: Path, clone: Path, out: Path, **columns: str) -> EmbeddingsResult:
    columns = {"text_column": "sentence", "embedding_column": "vec", **columns}
    ready = find_embeddings(EmbedConfig(use=str(folder), **columns))
    return import_embeddings(ready, out, clone=clone, targets=("tr",), dtype="float16", hardware=CPU, policy=SAFE)


def rows_of(folder: Path) -> dict[str, np.ndarray]:
    batches = [b for split in ("train", "validation") for b in EmbeddingDataset(folder).batches(split)]
    return {text: vector for batch in batches for text, vector in zip(batch.texts, batch.vectors, strict=True)}


def test_a_foreign_dataset_is_taken_with_its_own_columns(
    vectors: np.ndarray, tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_tools.vectors.imported.SHARD_ROWS", 150)
    theirs = write(tmp_path / "theirs", vectors)
    (theirs / "manifest.json").write_text('{"made": "by others"}')
    found = take(theirs, tiny_teacher, tmp_path / "out")
    assert (found.rows, found.dim, found.dtype, found.normalized) == (400, 32, "float16", True)
    assert 0 < found.splits["validation"] < 30
    assert found.taken_from["name"] == "theirs"
    rows = rows_of(tmp_path / "out")
    assert np.allclose([rows[text] for text in TEXTS], vectors, atol=1e-3)
    first = next(EmbeddingDataset(tmp_path / "out").batches("train"))
    assert (first.translations[0], first.sources[0], first.prompts[0]) == (None, "tr", "")


def test_columns_of_others_that_only_have_the_names_of_ours_are_not_taken(
    vectors: np.ndarray, tiny_teacher: Path, tmp_path: Path
) -> None:
    more = {
        "tokens": [["a", "b"]] * 400,
        "translation": [{"en": "x", "tr": "y"}] * 400,
        "lang": [7] * 400,
        "prompt_name": ["theirs"] * 400,
    }
    theirs = write(tmp_path / "theirs", vectors, **more)
    (theirs / "manifest.json").write_text('{"one": 1}\n{"two": 2}\n')  # no JSON of ours, nor of anybody
    (theirs / ".git").mkdir()
    before = find_embeddings(EmbedConfig(use=str(theirs))).identity
    (theirs / ".git" / "index").write_text("changes all the time")
    assert find_embeddings(EmbedConfig(use=str(theirs))).identity == before
    found = take(theirs, tiny_teacher, tmp_path / "out")
    assert (found.tokens, found.rows_by_prompt) == (None, {"none": 400})
    first = next(EmbeddingDataset(tmp_path / "out").batches("train"))
    assert (first.translations[0], first.sources[0]) == (None, "tr")


def test_folders_of_save_to_disk_and_texts_that_are_missing(
    vectors: np.ndarray, tiny_teacher: Path, tmp_path: Path
) -> None:
    texts = [None, "", *TEXTS[2:]]
    own = datasets.Dataset.from_dict({"text": texts, "embedding": vectors.tolist(), "lang": ["en"] * 400})
    own.save_to_disk(tmp_path / "one")
    names = {"text_column": "text", "embedding_column": "embedding"}
    assert take(tmp_path / "one", tiny_teacher, tmp_path / "a", **names).rows == 398
    split = datasets.DatasetDict({"train": own.select(range(300)), "validation": own.select(range(300, 400))})
    split.save_to_disk(tmp_path / "two")
    found = take(tmp_path / "two", tiny_teacher, tmp_path / "b", **names)
    assert found.splits == {"train": 298, "validation": 100}


def test_a_dataset_of_ours_comes_back_as_it_was(finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path) -> None:
    ours, clone = finished[0].output / "embeddings", finished[0].output / "clone"
    copy = Path(shutil.copytree(ours, tmp_path / "copy"))
    names = {"text_column": "text", "embedding_column": "embedding"}
    found = take(copy, clone, tmp_path / "out", **names)
    before, after = (json.loads((folder / "manifest.json").read_text()) for folder in (ours, tmp_path / "out"))
    for key in ("teacher", "rows", "splits", "dim", "dtype", "tokens", "pooling", "prompts", "rows_by_prompt"):
        assert after[key] == before[key], key
    assert found.taken_from == {"name": "copy", "revision": None}
    (a,), (b,) = (list(EmbeddingDataset(folder).batches("validation")) for folder in (ours, tmp_path / "out"))
    assert a[:4] == b[:4] and (a.vectors == b.vectors).all()
    # The beginning of a digest proves nothing.
    short = {name: digest[:16] for name, digest in before["sha256"].items()}
    write_json(copy / "manifest.json", {**before, "sha256": short})
    with pytest.raises(UserError, match=r"is not the file that manifest.json was written for"):
        take(copy, clone, tmp_path / "short", **names)
    write_json(copy / "manifest.json", before)
    (copy / "train-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"train-00000.parquet is not the file that manifest.json was written for"):
        take(copy, clone, tmp_path / "again", **names)


def test_what_does_not_fit_is_refused(vectors: np.ndarray, tiny_teacher: Path, tmp_path: Path) -> None:
    wide = write(tmp_path / "wide", np.hstack([vectors, vectors]) / 2**0.5)
    with pytest.raises(UserError, match=r"have 64 dimensions, the student's have 32.*as many as --teacher"):
        take(wide, tiny_teacher, tmp_path / "out")
    uneven = write(tmp_path / "uneven", [row[: 32 - (n == 7)] for n, row in enumerate(vectors)])
    with pytest.raises(UserError, match=r"have 31, 32 dimensions"):
        take(uneven, tiny_teacher, tmp_path / "out")
    long = write(tmp_path / "long", vectors * 3)
    with pytest.raises(UserError, match=r"from 3 to 3 long, but those of the student are of length 1"):
        take(long, tiny_teacher, tmp_path / "out")
    broken = write(tmp_path / "broken", np.where(np.arange(400)[:, None] == 7, np.nan, vectors))
    with pytest.raises(UserError, match=r"the vector of this text is not finite: 'Cümle 7,"):
        take(broken, tiny_teacher, tmp_path / "out")
    good = write(tmp_path / "good", vectors)
    with pytest.raises(UserError, match=r"no column 'text'; give --text-column. It has: id, sentence, vec"):
        take(good, tiny_teacher, tmp_path / "out", text_column="text")
    with pytest.raises(UserError, match=r"no column 'embedding'; give --embedding-column"):
        take(good, tiny_teacher, tmp_path / "out", embedding_column="embedding")
    with pytest.raises(UserError, match=r"'vec' holds int64; expected texts"):
        swapped = write(tmp_path / "swapped", vectors, text="id2", vector="sentence", vec=range(400))
        take(swapped, tiny_teacher, tmp_path / "out", text_column="vec", embedding_column="sentence")
    words = write(tmp_path / "words", vectors, labels=[["a"] * 32] * 400, gaps=[[None] + [1.0] * 31] * 400)
    with pytest.raises(UserError, match=r"'labels' holds list.*string.*; expected lists of numbers"):
        take(words, tiny_teacher, tmp_path / "out", embedding_column="labels")
    with pytest.raises(UserError, match=r"'gaps' has vectors with numbers missing"):
        take(words, tiny_teacher, tmp_path / "out", embedding_column="gaps")
    with pytest.raises(UserError, match=r"'id' holds int64; expected lists of numbers"):
        take(good, tiny_teacher, tmp_path / "out", embedding_column="id")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"is no dataset to read"):
        take(tmp_path / "empty", tiny_teacher, tmp_path / "out")
    with pytest.raises(UserError, match=r"expected the folder of a dataset, or an id of the Hub"):
        find_embeddings(EmbedConfig(use=str(good / "data.parquet")))


def test_unit_vectors_for_a_student_that_does_not_normalise_are_refused(
    vectors: np.ndarray, tiny_teacher: Path, tmp_path: Path
) -> None:
    whole = SentenceTransformer(str(tiny_teacher), device="cpu")
    SentenceTransformer(modules=[whole[0], whole[1]], device="cpu").save(str(tmp_path / "plain"))
    with pytest.raises(UserError, match=r"those of the student are not normalised"):
        take(write(tmp_path / "theirs", vectors), tmp_path / "plain", tmp_path / "out")


def test_a_student_learns_ready_vectors_and_the_teacher_is_not_loaded(
    finished: tuple[RunConfig, dict[str, Any]],
    vectors: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(finished[0].output, tmp_path / "run")
    theirs = write(tmp_path / "theirs", vectors)
    embed = {"use": str(theirs), "text_column": "sentence", "embedding_column": "vec"}
    config = RunConfig.from_dict({**plain(finished[0]), "output": str(tmp_path / "run"), "embed": embed})
    monkeypatch.setattr("hub_tools.vectors.embed.load_model", None)
    report = run(config, last="distill")
    said = (config.output / "log.txt").read_text(encoding="utf-8")
    assert "clone: already done" in said
    assert "embed: done again" in said
    assert report.embeddings.rows == 400
    assert report.distill.steps == 6
    assert list(chosen_ids(replace(config, publish=PublishConfig(namespace="ada")))) == ["model", "tokenizer"]
    data = datasets.Dataset.from_dict({"sentence": TEXTS[:300], "vec": vectors[:300].tolist()})
    data.to_parquet(theirs / "data.parquet")
    assert run(config, last="embed").embeddings.rows == 300


def test_a_dataset_of_the_hub(
    hub: FakeHub, online: dict[str, str], finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished[0].output / "embeddings", tmp_path / "data"))
    (folder / ".done.json").unlink()
    hub.add("dataset", "org/vectors", folder)
    shutil.copytree(finished[0].output, tmp_path / "run")
    values = tmp_path / "run.toml"
    text = (finished[0].output / "config.toml").read_text(encoding="utf-8")
    text = text.replace("distill_limit = 20\n", "")
    values.write_text(text.replace(str(finished[0].output), str(tmp_path / "run")), encoding="utf-8")
    args = ["embed", "--config", str(values), "--embeddings"]
    done = hub_distill(*args, "org/vectors", cwd=tmp_path, **online)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "run/embeddings/manifest.json").read_text())
    commit = hub.repos["dataset", "org/vectors"].head.oid
    assert manifest["taken_from"] == {"name": "org/vectors", "revision": commit}
    assert manifest["rows"] == finished[1]["embeddings"]["rows"]
    refused(hub_distill(*args, "org/nothing", cwd=tmp_path, **online), "The Hub knows no dataset 'org/nothing'")


def test_vectors_of_texts_that_are_measured_on_are_left_out(
    vectors: np.ndarray, tiny_teacher: Path, tmp_path: Path
) -> None:
    folder = write(tmp_path / "data", vectors, translation=[*["Bambaşka."] * 9, "İstenmeyen.", *["Başka."] * 390])
    ready = find_embeddings(EmbedConfig(use=str(folder), text_column="sentence", embedding_column="vec"))

    def take_without(name: str, texts: list[str]) -> EmbeddingsResult:
        options: dict[str, Any] = {"targets": ("tr",), "dtype": "float16", "hardware": CPU, "policy": SAFE}
        evaluation = EvaluationTexts([("STS", texts)])
        return import_embeddings(ready, tmp_path / name, clone=tiny_teacher, evaluation=evaluation, **options)

    result = take_without("out", [TEXTS[3].upper(), TEXTS[5], "istenmeyen"])
    found = rows_of(tmp_path / "out")
    assert set(TEXTS) - found.keys() == {TEXTS[3], TEXTS[5], TEXTS[9]}
    np.testing.assert_allclose(found[TEXTS[4]], vectors[4], atol=1e-3)
    assert (result.rows, result.contamination["STS"].exact) == (397, 3)
    with pytest.raises(UserError, match="all texts to train on are in the data to measure on"):
        take_without("nothing", TEXTS)
