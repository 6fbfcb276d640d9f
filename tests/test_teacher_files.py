"""How a teacher's files may lie: shards, pickles, old folders, code of its own, model2vec; and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules

from hub_tools.cloning.clone import clone
from hub_tools.core.errors import UserError
from hub_tools.core.files import write_json
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus
from hub_tools.models.encoder import encode
from hub_tools.models.loading import SAFE, LoadPolicy, load_model
from hub_tools.models.resolve import find_teacher
from hub_tools.models.tokenizer import read_ready_tokenizer, read_teacher_tokenizer
from hub_tools.tokenization.make import use_tokenizer
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

TEXTS = ["Merhaba dünya!", "A plain English sentence.", "word " * 100]
CPU = Hardware(device="cpu", precision="fp32")
Same = Callable[..., Path]


@pytest.fixture
def teacher(tiny_teacher: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(tiny_teacher, tmp_path / "changed"))


@pytest.fixture
def same(tmp_path: Path) -> Same:
    """Clone a teacher with its own tokenizer and compare the vectors."""

    def run(folder: Path, policy: LoadPolicy = SAFE) -> Path:
        write_json(tmp_path / "corpus" / "stats.json", {"languages": [], "missing": [], "text": {}})
        corpus, found = Corpus(tmp_path / "corpus"), find_teacher(str(folder), policy=policy)
        spec = read_teacher_tokenizer(found)
        use_tokenizer(spec, spec, tmp_path / "own", max_seq_length=found.max_seq_length, samples={})
        clone(found, tmp_path / "own", corpus, tmp_path / "clone", init="mean")
        theirs, ours = (load_model(f, device="cpu", policy=policy) for f in (folder, tmp_path / "clone"))
        assert ours.max_seq_length == theirs.max_seq_length
        a, b = encode(theirs, TEXTS, CPU), encode(ours, TEXTS, CPU)
        assert np.allclose(a, b, atol=1e-6)
        return tmp_path / "clone"

    return run


@pytest.mark.parametrize("file", ["sentence_bert_config.json", "sentence_roberta_config.json"])
@pytest.mark.parametrize("tokenizer", [24, 96, 4096, None])
@pytest.mark.parametrize("own", [16, 48, 128, None])
def test_the_longest_input_is_that_of_sentence_transformers(
    teacher: Path, own: int | None, tokenizer: int | None, file: str
) -> None:
    (teacher / "sentence_bert_config.json").unlink()
    write_json(teacher / file, {} if own is None else {"max_seq_length": own})
    settings = json.loads((teacher / "tokenizer_config.json").read_text())
    settings.pop("model_max_length")
    write_json(teacher / "tokenizer_config.json", settings | ({"model_max_length": tokenizer} if tokenizer else {}))
    longest = SentenceTransformer(str(teacher), device="cpu").max_seq_length
    assert find_teacher(str(teacher)).max_seq_length == longest


def test_only_a_change_of_the_model_itself_changes_the_identity(teacher: Path) -> None:
    before = find_teacher(str(teacher)).identity
    shutil.copytree(teacher, teacher / "runs/x/student")
    (teacher / "runs/x/corpus").mkdir()
    (teacher / "runs/x/corpus/stats.json").write_text("{}")
    assert find_teacher(str(teacher)).identity == before
    (teacher / "1_Pooling/config.json").write_text('{"pooling_mode": "cls"}')
    assert find_teacher(str(teacher)).identity != before


def test_loading_a_model_changes_nothing_for_the_rest_of_the_process(
    teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.utils import logging

    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    logging.set_verbosity_info()
    logging.enable_progress_bar()
    load_model(teacher, device="cpu")
    assert logging.get_verbosity() == logging.INFO and logging.is_progress_bar_enabled()
    assert "TOKENIZERS_PARALLELISM" not in os.environ
    logging.set_verbosity_warning()


PLAIN = {"BertModel": ("bert", "mean"), "Qwen3ForCausalLM": ("qwen3", "lasttoken")}


@pytest.mark.parametrize("kind", PLAIN)
def test_a_model_that_sentence_transformers_did_not_save(
    small_teachers: dict[str, Path], tmp_path: Path, same: Same, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    name, pooling = PLAIN[kind]
    plain = tmp_path / "plain"
    plain.mkdir()
    for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(small_teachers[name] / file, plain / file)
    config = json.loads((plain / "config.json").read_text())
    write_json(plain / "config.json", {**config, "architectures": [kind]})
    model = SentenceTransformer(str(same(plain)), device="cpu")
    assert f"made by {pooling} pooling" in caplog.text
    assert model[1].pooling_mode == SentenceTransformer(str(plain), device="cpu")[1].pooling_mode == pooling
    assert model.get_embedding_dimension() == 32


def test_the_pooling_of_a_saved_model_stays(teacher: Path, same: Same, caplog: pytest.LogCaptureFixture) -> None:
    # As sentence-transformers 5 saves a model of two modules.
    kinds = {"Transformer": "", "Pooling": "1_Pooling"}
    listed = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate(kinds.items())
    ]
    write_json(teacher / "modules.json", listed)
    write_json(teacher / "1_Pooling" / "config.json", {"embedding_dimension": 32, "pooling_mode": "cls"})
    assert SentenceTransformer(str(same(teacher)), device="cpu")[1].pooling_mode == "cls"
    assert "not saved by sentence-transformers" not in caplog.text


@pytest.mark.parametrize("path", ["../secret", "/secret", "a/../../secret", "..", "a\\..\\secret", "C:secret"])
def test_modules_stay_in_the_model(teacher: Path, tmp_path: Path, path: str) -> None:
    listed = json.loads((teacher / "modules.json").read_text())
    listed[1]["path"] = path
    (teacher / "modules.json").write_text(json.dumps(listed))
    for folder in (tmp_path / "secret", teacher / path):
        folder.mkdir(exist_ok=True, parents=True) if tmp_path in folder.resolve().parents else None
    with pytest.raises(UserError, match=r"modules\.json names a folder outside the model"):
        find_teacher(str(teacher))


def test_shards_stay_in_the_model(teacher: Path, same: Same) -> None:
    weights = load_file(teacher / "model.safetensors")
    (teacher / "model.safetensors").rename(teacher.parent / "other.safetensors")
    (teacher / "model-00001-of-00001.safetensors").write_bytes(b"")
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, "../other.safetensors")}
    write_json(teacher / "model.safetensors.index.json", index)
    with pytest.raises(UserError, match=r"names '\.\./other\.safetensors'\. Expected files beside it"):
        same(teacher)


def test_shards_stay_shards(teacher: Path, same: Same) -> None:
    weights = load_file(teacher / "model.safetensors")
    (teacher / "model.safetensors").unlink()
    names = sorted(weights)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, own in shards.items():
        save_file({name: weights[name] for name in own}, teacher / file, metadata={"format": "pt"})
    where = {name: file for file, own in shards.items() for name in own}
    write_json(teacher / "model.safetensors.index.json", {"metadata": {"total_size": 1}, "weight_map": where})
    out = same(teacher)
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == where
    assert index["metadata"]["total_size"] == sum(w.nbytes for f in shards for w in load_file(out / f).values())


def test_pickled_weights_become_safetensors(teacher: Path, same: Same) -> None:
    torch.save(load_file(teacher / "model.safetensors"), teacher / "pytorch_model.bin")
    (teacher / "model.safetensors").unlink()
    out = same(teacher, LoadPolicy(pickle=True))
    assert (out / "model.safetensors").exists() and not (out / "pytorch_model.bin").exists()


@pytest.mark.parametrize("kind", ["old", "parts"])
def test_pickles_from_before_torch_1_6_and_in_parts(kind: str, teacher: Path, same: Same) -> None:
    weights = load_file(teacher / "model.safetensors")
    (teacher / "model.safetensors").unlink()
    if kind == "old":
        torch.save(weights, teacher / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    else:
        where = {name: f"pytorch_model-0000{1 + n % 2}-of-00002.bin" for n, name in enumerate(weights)}
        for file in set(where.values()):
            torch.save({name: w for name, w in weights.items() if where[name] == file}, teacher / file)
        write_json(teacher / "pytorch_model.bin.index.json", {"metadata": {}, "weight_map": where})
    assert (same(teacher, LoadPolicy(pickle=True)) / "model.safetensors").exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_dtype_stays(teacher: Path, same: Same, dtype: torch.dtype) -> None:
    weights = {name: w.to(dtype) for name, w in load_file(teacher / "model.safetensors").items()}
    save_file(weights, teacher / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((teacher / "config.json").read_text())
    write_json(teacher / "config.json", {**config, "dtype": str(dtype)[6:]})
    out = same(teacher)
    assert {w.dtype for w in load_file(out / "model.safetensors").values()} == {dtype}
    assert json.loads((out / "config.json").read_text())["dtype"] == str(dtype)[6:]


def test_a_first_module_in_a_folder_of_its_own(teacher: Path, same: Same) -> None:
    inner = teacher / "0_Transformer"
    inner.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (teacher / name).rename(inner / name)
    (teacher / "sentence_bert_config.json").rename(inner / "sentence_roberta_config.json")
    listed = json.loads((teacher / "modules.json").read_text())
    listed[0]["path"] = "0_Transformer"
    write_json(teacher / "modules.json", listed)
    out = same(teacher)
    assert not (out / "0_Transformer").exists()
    assert json.loads((out / "sentence_bert_config.json").read_text())["max_seq_length"] == 64


CODE = """
import torch
from transformers import BertConfig, BertModel


class OurConfig(BertConfig):
    model_type = "our_bert"


class OurModel(BertModel):
    config_class = OurConfig

    def forward(self, *args, **kwargs):
        found = super().forward(*args, **kwargs)
        found.last_hidden_state = torch.tanh(found.last_hidden_state)
        return found
"""


def test_code_of_its_own_runs_and_goes_along_only_when_trusted(teacher: Path, same: Same) -> None:
    (teacher / "ours.py").write_text(CODE)
    config = json.loads((teacher / "config.json").read_text())
    names = {"AutoConfig": "ours.OurConfig", "AutoModel": "ours.OurModel"}
    write_json(
        teacher / "config.json", {**config, "model_type": "our_bert", "architectures": ["OurModel"], "auto_map": names}
    )
    with pytest.raises(UserError, match="give --trust-remote-code"):
        find_teacher(str(teacher))
    out = same(teacher, LoadPolicy(code=True))
    assert (out / "ours.py").read_text() == CODE
    with pytest.raises(UserError):
        load_model(out, device="cpu")


ROUNDS_UP = """

class OurRoundedModel(OurModel):
    def __init__(self, config, **kwargs):
        config.vocab_size = -(-config.vocab_size // config.pad_vocab_size_multiple) * config.pad_vocab_size_multiple
        super().__init__(config, **kwargs)
"""


def test_code_that_rounds_the_vocabulary_up_finds_as_many_rows(
    teacher: Path, minilm_files: TokenizerSpec, no_text: Corpus, tmp_path: Path
) -> None:
    (teacher / "ours.py").write_text(CODE + ROUNDS_UP)
    config = json.loads((teacher / "config.json").read_text())
    size, padded = config["vocab_size"], -(-config["vocab_size"] // 64) * 64
    assert padded > size
    names = {"AutoConfig": "ours.OurConfig", "AutoModel": "ours.OurRoundedModel"}
    own = {"model_type": "our_bert", "architectures": ["OurRoundedModel"], "auto_map": names}
    write_json(teacher / "config.json", {**config, **own, "pad_vocab_size_multiple": 64})
    weights = load_file(teacher / "model.safetensors")
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    weights[name] = torch.cat([weights[name], torch.ones(padded - size, weights[name].shape[1])])
    save_file(weights, teacher / "model.safetensors", metadata={"format": "pt"})

    kept = dict(list(minilm_files.model_vocab.items())[:5000])
    model = {**minilm_files.spec["model"], "vocab": kept}
    files = minilm_files.with_model(model, minilm_files.spec["normalizer"], minilm_files.added_tokens, 64)
    files.write(tmp_path / "tokenizer")
    policy = LoadPolicy(code=True)
    clone(
        find_teacher(str(teacher), policy=policy), tmp_path / "tokenizer", no_text, tmp_path / "clone", init="position"
    )
    rows = load_file(tmp_path / "clone" / "model.safetensors")[name]
    assert len(files.vocab) == 5000 and len(rows) == 5056 and not rows[5000:].any()
    assert torch.equal(rows[:5000], weights[name][:5000])
    ours = load_model(tmp_path / "clone", device="cpu", policy=policy)
    theirs = load_model(teacher, device="cpu", policy=policy)
    a, b = (encode(model, ["the house is here"], CPU) for model in (theirs, ours))
    assert float((a * b).sum()) > 0.9999


@pytest.mark.parametrize("factors", [False, True])
def test_a_model2vec_model_is_cloned_with_its_factors_folded_in(
    factors: bool, minilm_files: TokenizerSpec, tmp_path: Path, same: Same
) -> None:
    size = len(minilm_files.vocab)
    torch.manual_seed(0)
    weights = {"embeddings": torch.randn(size, 16)}
    if factors:  # as model2vec stores a vocabulary that was clustered and weighted
        weights = {
            "embeddings": torch.randn(500, 16),
            "mapping": torch.randint(0, 500, (size,)),
            "weights": torch.rand(size) + 0.1,
        }
    folder = tmp_path / "model2vec"
    minilm_files.write(folder)
    save_file(weights, folder / "model.safetensors")
    write_json(folder / "config.json", {"model_type": "model2vec", "normalize": True, "hidden_dim": 16})
    kinds = ("StaticEmbedding", "Normalize")
    paths = (".", "1_Normalize")
    listed = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    write_json(folder / "modules.json", listed)
    (folder / "1_Normalize").mkdir()
    out = same(folder)
    assert load_file(out / "model.safetensors").keys() == {"embeddings"}


def test_a_gemma_in_fp16_is_refused_with_the_reason(teacher: Path) -> None:
    config = json.loads((teacher / "config.json").read_text())
    write_json(teacher / "config.json", {**config, "model_type": "gemma3_text", "dtype": "float16"})
    with pytest.raises(UserError, match=r"Gemma3 stored in fp16.*infinite.*bf16 or fp32"):
        find_teacher(str(teacher))


def test_an_asymmetric_model_is_refused_with_the_reason(tiny_teacher: Path, tmp_path: Path) -> None:
    def part() -> modules.Transformer:
        return modules.Transformer(str(tiny_teacher))

    router = modules.Router.for_query_document([part()], [part()])
    SentenceTransformer(modules=[router, modules.Pooling(32)], device="cpu").save(str(tmp_path / "router"))
    with pytest.raises(UserError, match=r"asymmetric: each of its routes \(query, document\) has a model"):
        find_teacher(str(tmp_path / "router"))


def test_routes_behind_one_vocabulary_are_cloned(tiny_teacher: Path, tmp_path: Path, same: Same) -> None:
    first = SentenceTransformer(str(tiny_teacher), device="cpu")
    routes = {"query": [modules.Dense(32, 16)], "document": [modules.Dense(32, 16)]}
    model = SentenceTransformer(modules=[first[0], first[1], modules.Router(routes, default_route="document")])
    model.save(str(tmp_path / "router"), create_model_card=False)
    out = same(tmp_path / "router")
    theirs, ours = (SentenceTransformer(str(f), device="cpu") for f in (tmp_path / "router", out))
    for task in ("query", "document"):
        assert np.allclose(theirs.encode(TEXTS, task=task), ours.encode(TEXTS, task=task), atol=1e-6)


def test_a_second_vocabulary_is_refused(teacher: Path) -> None:
    listed = json.loads((teacher / "modules.json").read_text())
    listed.insert(1, {"idx": 1, "name": "x", "path": "1_BoW", "type": "sentence_transformers.models.BoW"})
    write_json(teacher / "modules.json", listed)
    with pytest.raises(UserError, match="second vocabulary"):
        find_teacher(str(teacher))


def test_another_padding_id_is_refused_where_positions_depend_on_it(
    tmp_path: Path, minilm_files: TokenizerSpec
) -> None:
    from transformers import MPNetConfig, MPNetModel

    size = len(minilm_files.vocab)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    MPNetModel(MPNetConfig(vocab_size=size, max_position_embeddings=66, **shape)).save_pretrained(tmp_path / "mpnet")
    minilm_files.write(tmp_path / "mpnet")
    first = modules.Transformer(str(tmp_path / "mpnet"), max_seq_length=32)
    SentenceTransformer(modules=[first, modules.Pooling(32)], device="cpu").save(str(tmp_path / "teacher"))
    settings = {**minilm_files.settings, "pad_token": "[unused0]"}
    TokenizerSpec(spec=minilm_files.spec, settings=settings).write(tmp_path / "other")
    write_json(tmp_path / "corpus" / "stats.json", {"languages": [], "missing": [], "text": {}})
    with pytest.raises(UserError, match=r"counts positions from the id of its padding token, 0, .* is 1"):
        clone(
            find_teacher(str(tmp_path / "teacher")),
            tmp_path / "other",
            Corpus(tmp_path / "corpus"),
            tmp_path / "out",
            init="mean",
        )


def test_rows_and_tokenizer_that_do_not_belong_together(teacher: Path, tmp_path: Path) -> None:
    weights = load_file(teacher / "model.safetensors")
    name = next(name for name in weights if "word_embeddings" in name)
    save_file({**weights, name: weights[name][:100].clone()}, teacher / "model.safetensors", metadata={"format": "pt"})
    write_json(tmp_path / "corpus" / "stats.json", {"languages": [], "missing": [], "text": {}})
    with pytest.raises(UserError, match="that belong together"):
        clone(find_teacher(str(teacher)), teacher, Corpus(tmp_path / "corpus"), tmp_path / "out", init="mean")


def lower_case(folder: Path) -> None:
    """Let sentence-transformers lower-case a model's text, whose tokenizer does not."""
    spec = json.loads((folder / "tokenizer.json").read_text())
    write_json(folder / "tokenizer.json", {**spec, "normalizer": {"type": "NFC"}})
    config = json.loads((folder / "tokenizer_config.json").read_text())
    write_json(folder / "tokenizer_config.json", {**config, "tokenizer_class": "PreTrainedTokenizerFast"})
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    write_json(folder / "sentence_bert_config.json", {**settings, "do_lower_case": True})


def test_lower_casing_moves_from_the_settings_into_the_tokenizer(teacher: Path, same: Same) -> None:
    lower_case(teacher)
    out = same(teacher)
    # sentence-transformers 5 would lower-case before the tokenizer, by English rules: I of a Turkish word becomes i.
    assert "do_lower_case" not in json.loads((out / "sentence_bert_config.json").read_text())
    assert TokenizerSpec.read(out).load().encode("HOUSE").tokens == ["[CLS]", "house", "[SEP]"]


def test_a_ready_tokenizer_is_read_as_it_is_whatever_lies_beside_it(teacher: Path, tiny_teacher: Path) -> None:
    lower_case(teacher)
    # The teacher's own tokenizer is read as the teacher uses it, wherever it is.
    found = find_teacher(str(teacher))
    own = read_ready_tokenizer(teacher, found)
    assert own == read_teacher_tokenizer(found)
    assert own.spec["normalizer"]["normalizers"] == [{"type": "Lowercase"}, {"type": "NFC"}]
    config = json.loads((teacher / "config.json").read_text())
    write_json(teacher / "config.json", {**config, "vocab_size": 10})
    ready = read_ready_tokenizer(teacher, find_teacher(str(tiny_teacher)))
    files = TokenizerSpec.read(teacher)
    assert (ready.spec["normalizer"], ready.settings, ready.vocab) == ({"type": "NFC"}, files.settings, files.vocab)
