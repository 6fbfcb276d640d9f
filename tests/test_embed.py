"""The embedding dataset: what it says of itself, prompts, shards that survive a kill, many processes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from sentence_transformers import SentenceTransformer

from hub_tools.config import EmbedConfig, RunConfig
from hub_tools.core.distributed import Processes
from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus
from hub_tools.models.encoder import Encoder
from hub_tools.models.loading import load_model
from hub_tools.models.prompts import Prompts, choose_prompts
from hub_tools.models.resolve import find_teacher
from hub_tools.models.teacher import Teacher
from hub_tools.models.text_pooling import TextPooling
from hub_tools.results import EmbeddingsResult
from hub_tools.training.data import load_training_set
from hub_tools.vectors.dataset import EmbeddingDataset, Row, Shard, shards
from hub_tools.vectors.embed import embed, embed_shard
from tests.architectures import PROMPTS
from tests.nearness import least_cosine

CPU = Hardware(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def corpus(finished: tuple[RunConfig, dict[str, Any]]) -> Corpus:
    return Corpus(finished[0].output / "corpus")


@pytest.fixture(scope="module")
def teacher(tiny_teacher: Path) -> Teacher:
    return find_teacher(str(tiny_teacher))


Make = Callable[..., tuple[Path, EmbeddingsResult]]


@pytest.fixture
def make(corpus: Corpus, teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Embed a little of the sample in small shards."""
    monkeypatch.setattr("hub_tools.vectors.embed.SHARD_ROWS", 256)

    def run(name: str = "embeddings", **options: Any) -> tuple[Path, EmbeddingsResult]:
        config = EmbedConfig(**{"distill_limit": 10, **options})
        return tmp_path / name, embed(teacher, corpus, tmp_path / name, targets=("tr",), config=config, hardware=CPU)

    return run


def test_shards_that_lie_elsewhere_are_missed(
    finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two machines that do not share the run folder, as one of them sees it.
    monkeypatch.setattr(Processes, "run_on_main", lambda _, work: work())
    monkeypatch.setattr("hub_tools.vectors.embed.SHARD_ROWS", 64)
    with pytest.raises(UserError, match=r"of \d+ shards were computed elsewhere and are not in .*train-00000"):
        embed(
            find_teacher(finished[0].teacher),
            Corpus(finished[0].output / "corpus"),
            tmp_path / "out",
            targets=("tr",),
            config=EmbedConfig(distill_limit=5),
            hardware=CPU,
            processes=Processes(rank=0, world_size=2),
        )


def test_the_dataset_says_what_it_is(make: Make, tmp_path: Path) -> None:
    folder, found = make(dtype="float32")
    dataset = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    row = dataset["train"][0]
    assert (row["lang"], row["source"], row["split"], row["prompt_name"]) == ("en", "tr-en.tsv", "train", None)
    features = dataset["train"].features
    assert (features["embedding"].length, features["embedding"].feature.dtype) == (32, "float32")
    assert features["tokens"].dtype == "int32" and row["tokens"] > 2
    assert {split: len(rows) for split, rows in dataset.items()} == found.splits
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["teacher"] == "teacher"  # the folder's name, not where it lies
    assert manifest["pooling"] == "mean" and manifest["normalized"] is True
    assert (manifest["max_seq_length"], manifest["truncation_side"]) == (64, "right")
    assert manifest["versions"]["torch"] and manifest["precision"] == "fp32"
    assert manifest["prompting"] is None and manifest["rows_by_prompt"] == {"none": found.rows}
    # Whole digests, which sha256sum checks.
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.parquet")}
    assert manifest["sha256"] == digests
    assert len(manifest["sha256"]) > 4


def test_languages_have_limits_of_their_own(make: Make) -> None:
    folder, _ = make(distill_limit="en=12,de=0,*=3")
    rows = [row for file in shards(folder, "train") for row in pq.read_table(file).to_pylist()]
    counts = Counter(row["lang"] for row in rows if row["translation"] is None)
    assert counts.pop("en") == 12 and "de" not in counts and set(counts.values()) == {3}


def test_held_out_text_is_a_tenth_in_the_same_mixture(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub_tools.vectors.embed._FEWEST_HELDOUT", 1)
    folder, _ = make(distill_limit="en=12,*=20")
    rows = [row for file in shards(folder, "validation") for row in pq.read_table(file).to_pylist()]
    counts = Counter(row["lang"] for row in rows if row["translation"] is None)
    assert counts == {"en": 1}  # none in languages that the student is not for


def test_half_precision_is_the_default_and_half_the_size(make: Make) -> None:
    (small, half), (large, whole) = make("half"), make("whole", dtype="float32")
    assert (half.dtype, whole.dtype) == ("float16", "float32")
    a, b = (np.concatenate([b.vectors for b in EmbeddingDataset(f).batches("train")]) for f in (small, large))
    assert a.dtype == np.float16
    assert least_cosine(a.astype(np.float32), b) > 0.99999


class Spy(Encoder):
    def __call__(self, texts: list[str], prompt: str = "") -> Any:
        self.asked = [*getattr(self, "asked", []), *((prompt, text) for text in texts)]
        return super().__call__(texts, prompt)


def test_duplicates_are_embedded_once_behind_each_prompt(tiny_teacher: Path, tmp_path: Path) -> None:
    model = load_model(tiny_teacher, device="cpu")
    spy = Spy(model, CPU)
    prompts = Prompts(texts={"query": "query: "}, default=None)
    rows = [Row(text, "en", None, "en", name) for text in ("b", "a", "b") for name in (None, "query", None)]
    embed_shard(Shard(tmp_path / "train-00000.parquet", "train", rows), spy, prompts, "float32")
    assert sorted(spy.asked) == [("", "a"), ("", "b"), ("query: ", "a"), ("query: ", "b")]
    table = pq.read_table(tmp_path / "train-00000.parquet")
    vectors = np.stack(table["embedding"].to_numpy())
    wanted = model.encode([prompts.text_of(row.prompt_name) + row.text for row in rows])
    assert least_cosine(vectors, wanted) > 0.9999
    assert not list(tmp_path.glob("*.tmp"))


def test_a_vector_that_is_not_finite_names_the_text(tiny_teacher: Path, tmp_path: Path) -> None:
    class Bad(Encoder):
        def __call__(self, texts: list[str], prompt: str = "") -> Any:
            found = super().__call__(texts, prompt)
            found.vectors[texts.index("the bad one")] *= self.factor
            return found

        factor = np.nan

    encoder = Bad(load_model(tiny_teacher, device="cpu"), CPU)
    rows = [Row(text, "en", None, "en", None) for text in ("good", "the bad one", "also good")]
    shard = Shard(tmp_path / "train-00000.parquet", "train", rows)
    with pytest.raises(UserError, match=r"not finite in float32: 'the bad one'"):
        embed_shard(shard, encoder, Prompts(texts={}, default=None), "float32")
    encoder.factor = 1e6
    with pytest.raises(UserError, match=r"not finite in float16: 'the bad one'.*--embedding-dtype float32"):
        embed_shard(shard, encoder, Prompts(texts={}, default=None), "float16")
    assert not shard.file.exists()


@pytest.fixture
def with_prompts(tiny_teacher: Path, tmp_path: Path) -> Path:
    """The tiny teacher with EmbeddingGemma's prompts."""
    folder = Path(shutil.copytree(tiny_teacher, tmp_path / "prompted"))
    file = folder / "config_sentence_transformers.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "prompts": PROMPTS}))
    return folder


def test_texts_of_all_kinds_are_queries_and_documents(
    with_prompts: Path, corpus: Corpus, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_tools.vectors.embed.KNOWS_LANGUAGE", 0.0)  # a random model knows none
    config = EmbedConfig(distill_limit=30, query_share=0.5, document_share=0.25, pooling="teacher")
    teacher = find_teacher(str(with_prompts))
    found = embed(teacher, corpus, tmp_path / "out", targets=("tr",), config=config, hardware=CPU)
    assert found.prompting == {"query": "query", "document": "document", "query_share": 0.5, "document_share": 0.25}
    rows = [row for file in shards(tmp_path / "out") for row in pq.read_table(file).drop("embedding").to_pylist()]
    for of_kind in (
        [row for row in rows if row["translation"]],
        [row for row in rows if not row["translation"] and row["lang"] == "en"],
        [row for row in rows if len(row["text"]) > 60],
        [row for row in rows if len(row["text"]) <= 60],
    ):
        counts = Counter(row["prompt_name"] for row in of_kind)
        assert counts["query"] / len(of_kind) == pytest.approx(0.5, abs=0.2)
        assert counts["document"] / len(of_kind) == pytest.approx(0.25, abs=0.2)
        assert counts[None]
    model = SentenceTransformer(str(with_prompts), device="cpu")
    batch = next(EmbeddingDataset(tmp_path / "out").batches("train"))
    assert set(batch.prompts) == {"", *PROMPTS.values()}
    ways = {"": model.encode, PROMPTS["query"]: model.encode_query, PROMPTS["document"]: model.encode_document}
    for prompt, way in ways.items():
        chosen = [i for i, own in enumerate(batch.prompts) if own == prompt][:20]
        wanted = way([batch.texts[i] for i in chosen])
        assert least_cosine(batch.vectors[chosen].astype(np.float32), wanted) > 0.9999
    # The student reads each text behind the prompt of its vector.
    training_set = load_training_set(EmbeddingDataset(tmp_path / "out"), "train", with_prompts / "tokenizer.json", 64)
    tokenizer = model.tokenizer
    for number in (0, 1, 400):
        prompt = batch.prompts[number // 2]
        text = (batch.texts if number % 2 == 0 else batch.translations)[number // 2]
        assert training_set.texts[number].tolist() == tokenizer(prompt + text)["input_ids"][:64]


def test_sides_of_pairs_are_texts_of_their_own_where_the_teacher_knows_both(
    with_prompts: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_tools.vectors.embed.KNOWS_LANGUAGE", 0.0)
    monkeypatch.setattr("hub_tools.vectors.embed.KNOWS_WELL", 0.0)  # a random model knows none
    config = EmbedConfig(distill_limit=10, dtype="float32", pooling="teacher")
    teacher = find_teacher(str(with_prompts))
    found = embed(teacher, corpus, tmp_path / "out", targets=("tr",), config=config, hardware=CPU)
    assert found.pair_goal == "own" and corpus.result.parallel is not None
    pairs = {pair.source: pair.target for pair in corpus.pairs()}
    batch = next(EmbeddingDataset(tmp_path / "out").batches("train"))
    assert set(batch.translations) == {None}
    sides = [number for number, text in enumerate(batch.texts) if text in pairs and text not in batch.texts[:number]]
    assert 5 <= len(sides) <= 10 < corpus.result.parallel.train  # as many as texts, from the whole file
    model = SentenceTransformer(str(with_prompts), device="cpu")
    for number in sides:
        assert len(batch.texts[number]) >= 40
        assert (batch.texts[number + 1], batch.langs[number + 1]) == (pairs[batch.texts[number]], "tr")
        for side in (number, number + 1):
            wanted = model.encode(batch.prompts[side] + batch.texts[side])
            assert least_cosine(batch.vectors[[side]], wanted[None]) > 0.9999


def test_tokens_of_the_text_alone_count_and_rare_ones_more(with_prompts: Path) -> None:
    model = SentenceTransformer(str(with_prompts), device="cpu")
    texts, prompt = ["a b", "a c", "a d d"], "query: "
    pooling = TextPooling.of(model, texts)
    found = Encoder(model, CPU, pooling)([*texts, ""], prompt).vectors
    tokens = model.tokenizer.backend_tokenizer
    own = {text: tokens.encode(text, add_special_tokens=False).ids for text in texts}
    for text, vector in zip(texts, found, strict=False):
        ids = model.tokenizer([prompt + text], return_tensors="pt")
        outputs = model[0](dict(ids))["token_embeddings"][0].detach().numpy()
        outputs = outputs[-1 - len(own[text]) : -1]  # behind the template's first token and the prompt, before the last
        rarity = [np.log(4 / sum(token in ids for ids in own.values())) for token in own[text]]
        mean = np.average(outputs, axis=0, weights=rarity)
        assert least_cosine(vector[None], mean[None]) > 0.9999
    nothing = model.encode([prompt])
    assert least_cosine(found[3:], nothing) > 0.9999  # a text without tokens has the model's own vector


def test_what_pools_otherwise_keeps_its_pooling(small_teachers: dict[str, Path]) -> None:
    fits = {name: TextPooling.fits(load_model(folder, device="cpu")) for name, folder in small_teachers.items()}
    assert True in fits.values() and False in fits.values()
    for name, folder in small_teachers.items():
        modes = [json.loads(file.read_text()) for file in folder.glob("*Pooling/config.json")]
        is_mean = any(m.get("pooling_mode") == "mean" or m.get("pooling_mode_mean_tokens") for m in modes)
        assert fits[name] == is_mean, name


def test_a_teacher_without_prompts_gets_none(tiny_teacher: Path, with_prompts: Path) -> None:
    plain, prompted = (load_model(folder, device="cpu") for folder in (tiny_teacher, with_prompts))
    assert choose_prompts(plain, EmbedConfig()).rule() is None
    off = EmbedConfig(query_share=0, document_share=0)
    assert choose_prompts(prompted, off).rule() is None
    chosen = choose_prompts(prompted, EmbedConfig(query_share=0.5, document_share=0.5))
    assert {chosen.name_for(str(number)) for number in range(20)} == {"query", "document"}


def files_of(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob("[!.]*"))}


@pytest.fixture(scope="module")
def run_alone(
    finished: tuple[RunConfig, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[list[str], Path]]:
    """A command that embeds the text of the finished run in small shards, and the run's folder."""

    def command(name: str) -> tuple[list[str], Path]:
        root = tmp_path_factory.mktemp(name)
        shutil.copytree(finished[0].output / "corpus", root / "run" / "corpus")
        shutil.copy(finished[0].output / "run.json", root / "run" / "run.json")
        (root / "run.toml").write_text(
            finished[0].to_toml().replace(str(finished[0].output), str(root / "run")), encoding="utf-8"
        )
        small = "from hub_tools.vectors import embed\nembed.SHARD_ROWS = 64\nfrom hub_tools.cli import run\nrun()\n"
        (root / "small.py").write_text(small, encoding="utf-8")
        return [str(root / "small.py"), "embed", "--config", str(root / "run.toml")], root / "run"

    return command


@pytest.fixture(scope="module")
def uninterrupted(run_alone: Callable[..., tuple[list[str], Path]]) -> dict[str, str]:
    words, root = run_alone("whole")
    subprocess.run([sys.executable, *words], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return files_of(root / "embeddings")


def test_a_killed_run_computes_only_what_is_missing_and_ends_the_same(
    run_alone: Callable[..., tuple[list[str], Path]], uninterrupted: dict[str, str]
) -> None:
    words, root = run_alone("killed")
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL, start_new_session=True, env=env)
    deadline = time.monotonic() + 240
    while len(done := list(root.glob("embeddings.partial/train-*.parquet"))) < 3:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list(root.glob("embeddings.partial/*.parquet"))) < len(uninterrupted) - 1
    times = {file.name: file.stat().st_mtime_ns for file in done}
    subprocess.run([sys.executable, *words], check=True, env=env)
    assert files_of(root / "embeddings") == uninterrupted
    assert {name: (root / "embeddings" / name).stat().st_mtime_ns for name in times} == times


def test_two_processes_of_accelerate_write_the_same_bytes_as_one(
    run_alone: Callable[..., tuple[list[str], Path]], uninterrupted: dict[str, str]
) -> None:
    words, root = run_alone("two")
    # The main process is done long before the other, and must not sum up what is not there yet.
    slow = "import os, time, hub_tools.vectors.embed as e\nwrite = e.write_shard\n"
    slow += "def late(*a):\n    time.sleep(0.2 * int(os.environ['RANK']))\n    write(*a)\ne.write_shard = late\n"
    script = Path(words[0])
    script.write_text(slow + script.read_text(encoding="utf-8"), encoding="utf-8")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *words], check=False, capture_output=True, text=True, env=env, timeout=400)
    assert done.returncode == 0, done.stderr
    assert files_of(root / "embeddings") == uninterrupted
    assert done.stderr.count("] embed\n") == 1
