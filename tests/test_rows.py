"""New rows against slow, obvious references, for each tokenizer family."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from hub_tools.cloning.aligned_init import compose_rare
from hub_tools.cloning.context import InitContext
from hub_tools.cloning.focus import nearest, token_vectors
from hub_tools.cloning.ibm_model1 import Alignment, aligned_rows
from hub_tools.cloning.init import init_embeddings
from hub_tools.cloning.mean import mean_rows
from hub_tools.cloning.safetensors_io import LazyEmbedding
from hub_tools.cloning.token_distillation import _overlap
from hub_tools.config import Init, RunConfig
from hub_tools.core.errors import UserError
from hub_tools.core.files import write_json
from hub_tools.corpus.build import Corpus
from hub_tools.models.teacher import find_teacher
from hub_tools.tokenization.token_map import Match, TokenMap, map_tokens
from hub_tools.tokenization.token_text import surface_of
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.conftest import whole_job

FAMILIES = ("wordpiece", "byte-level", "gemma", "llama", "unigram")


@pytest.fixture(scope="module")
def ready(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> InitContext:
    """Teacher, corpus and tokenizer of a small job, ready for any way of making rows."""
    from hub_tools.models.loading import backbone, load_model
    from hub_tools.pipeline import run

    config = RunConfig.from_dict(whole_job(tiny_teacher, tmp_path_factory.mktemp("rows") / "run"))
    run(config, last="tokenizer")
    theirs, ours = TokenizerSpec.read(tiny_teacher), TokenizerSpec.read(config.output / "tokenizer")
    rows = backbone(load_model(tiny_teacher, device="cpu")).get_input_embeddings().weight.detach().numpy()
    return InitContext(
        teacher=find_teacher(str(tiny_teacher)),
        theirs=theirs,
        ours=ours,
        token_map=map_tokens(theirs, ours),
        rows=rows,
        corpus=Corpus(config.output / "corpus"),
        target="tr",
    )


@pytest.mark.parametrize("init", get_args(Init))
def test_shared_tokens_keep_their_rows_and_new_ones_are_numbers(init: Init, ready: InitContext) -> None:
    rows, counts = init_embeddings(init, ready)
    exact = np.flatnonzero(ready.token_map.kinds == Match.EXACT)
    assert np.array_equal(rows[exact], ready.rows[ready.token_map.ids[ready.token_map.offsets[exact]]])
    assert rows.shape == (len(ready.ours.ids), ready.rows.shape[1]) and np.isfinite(rows).all()
    assert (np.abs(rows).max(axis=1) > 0)[ready.new].all()
    plain, _ = init_embeddings("position", ready)
    moved = (rows[ready.new] != plain[ready.new]).any(axis=1)
    assert moved.any() == (init != "position")
    made = {"align": "aligned", "focus": "focus", "token_distillation": "distilled"}
    assert counts[made.get(init, "aligned")] == 0 or init in made
    assert init not in made or counts[made[init]] > 100


@pytest.mark.parametrize("family", FAMILIES)
def test_weighted_means_are_what_a_loop_gives(
    family: str,
    small_tokenizers: dict[str, TokenizerSpec],
    small_students: dict[str, TokenizerSpec],
    ready: InitContext,
) -> None:
    theirs, ours = small_tokenizers[family], small_students[family]
    rows = np.random.default_rng(0).standard_normal((max(theirs.ids.values()) + 1, 8)).astype(np.float32)
    found = map_tokens(theirs, ours)
    given = InitContext(
        teacher=ready.teacher, theirs=theirs, ours=ours, token_map=found, rows=rows, corpus=ready.corpus, target="tr"
    )
    assert found.count(Match.UNKNOWN) == 0
    names, tokens = ({n: t for t, n in files.ids.items()} for files in (theirs, ours))
    plain = theirs.load()
    text: dict[int, int] = {}
    for line in ready.corpus.all_texts("tr", "tr"):
        for number in plain.encode(line, add_special_tokens=False).ids:
            text[number] = text.get(number, 0) + 1
    total = sum(text.values())
    made = {init: init_embeddings(init, given)[0] for init in ("mean", "position", "length", "frequency")}
    for number in np.random.default_rng(1).choice(given.new, 25, replace=False).tolist():
        start = found.offsets[number]
        ids = found.ids[start : start + found.lengths[number]].tolist()
        surface = surface_of(ours, tokens[number])[0]
        bare = plain.encode(surface, add_special_tokens=False).ids or ids
        weights = {
            "position": [(i, 1.0) for i in ids],
            "length": [(i, float(max(1, len(surface_of(theirs, names[i])[0])))) for i in ids],
            "frequency": [(i, 1e-3 / (1e-3 + text.get(i, 0) / total)) for i in ids],
            "mean": [(i, 1.0) for i in bare],
        }
        for init, pieces in weights.items():
            wanted = sum(rows[i] * w for i, w in pieces) / sum(w for _, w in pieces)
            assert made[init][number] == pytest.approx(wanted, abs=1e-5), (init, tokens[number])


def test_tokens_in_the_same_contexts_are_neighbours() -> None:
    words = ["the", "cat", "dog", "sat", "ran", "on", "mat", "stone", "iron", "is", "hard", "cold"]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="the"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    lines = [f"the {animal} {verb} on the mat" for animal in ("cat", "dog") for verb in ("sat", "ran")]
    lines += [f"{thing} is {how}" for thing in ("stone", "iron") for how in ("hard", "cold")]
    vectors, counts = token_vectors(tokenizer, lines * 5, len(words))
    assert counts[words.index("cat")] > 0
    ((block, ids, weights),) = nearest(vectors, np.array([1, 7]), np.array([2, 8, 9, 5]))
    assert block.tolist() == [1, 7]
    assert ids[np.arange(2), weights.argmax(axis=1)].tolist() == [2, 8]
    assert weights.sum(axis=1) == pytest.approx(1)


def test_stretches_of_text_are_matched_by_characters(minilm_files: TokenizerSpec) -> None:
    tokenizer = minilm_files.load()
    theirs = tokenizer.encode("unbelievably good")
    whole = Tokenizer(models.WordLevel({"unbelievably": 0, "good": 1, "[CLS]": 2, "[SEP]": 3}, unk_token="good"))
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    whole.add_special_tokens(["[CLS]", "[SEP]"])
    whole.post_processor = tokenizer.post_processor
    shares = _overlap(whole.encode("unbelievably good"), theirs)
    assert shares.shape == (4, len(theirs.ids)) and shares.sum(axis=1) == pytest.approx(1)
    assert shares[0, 0] == shares[3, -1] == 1  # the template's tokens
    assert shares[1, 1:-2].sum() == pytest.approx(1) and shares[2, -2] == 1


def test_fitted_rows_bring_the_hidden_states_nearer(ready: InitContext) -> None:
    from hub_tools.cloning import token_distillation as fit
    from hub_tools.models.loading import backbone, load_model

    model = backbone(load_model(ready.teacher.path, device="cpu"))
    texts = list(ready.corpus.all_texts("tr", "tr"))[:64]

    def distance(rows: Any) -> float:
        import torch

        theirs, ours = ready.theirs.load(), ready.ours.load()
        read, wanted = (t.encode_batch(texts) for t in (ours, theirs))
        ids, mask = fit._padded(read)
        goal, there = fit._goal(model, read, wanted, ids.shape)
        with torch.no_grad():
            found = fit._hidden(model, inputs_embeds=torch.from_numpy(rows)[ids], attention_mask=mask)
        return float(((found - goal)[there] ** 2).mean())

    plain, _ = init_embeddings("position", ready)
    fitted = plain.copy()
    fit.distill_tokens(fitted, ready, steps=200)
    assert distance(fitted) < 0.95 * distance(plain)


@pytest.mark.parametrize("name", ["gemma3", "mpnet", "modernbert", "t5", "qwen3", "xlm-r"])
def test_rows_handed_over_are_read_as_their_ids(name: str, small_teachers: dict[str, Path]) -> None:
    """Whatever an architecture does to the rows that it looks up is done to fitted rows too."""
    import torch

    from hub_tools.cloning import token_distillation as fit
    from hub_tools.models.loading import backbone, load_model

    model = backbone(load_model(small_teachers[name], device="cpu"))
    rows = model.get_input_embeddings().weight.detach()
    read = TokenizerSpec.read(small_teachers[name]).load().encode_batch(["A plain sentence.", "short"])
    ids, mask = fit._padded(read)
    fit._check_inputs(model, rows.shape[1])
    with torch.no_grad():
        looked_up = fit._hidden(model, input_ids=ids, attention_mask=mask)
        given_rows = fit._hidden(model, inputs_embeds=fit._scaled(model, rows[ids]), attention_mask=mask)
    assert torch.allclose(looked_up[mask.bool()], given_rows[mask.bool()], atol=1e-5)


def test_a_model_that_takes_no_rows_is_refused() -> None:
    import torch

    from hub_tools.cloning import token_distillation as fit

    class ReadsIds(torch.nn.Module):
        def forward(self, input_ids: Any, attention_mask: Any = None, **kwargs: Any) -> Any:
            return (torch.nn.functional.one_hot(input_ids), attention_mask)

    with pytest.raises(UserError, match=r"ReadsIds takes no inputs_embeds. Use --init align or mean\."):
        fit._check_inputs(ReadsIds(), 8)


@pytest.mark.parametrize("family", FAMILIES)
def test_added_tokens_outside_the_model_keep_their_rows(family: str, small_students: dict[str, TokenizerSpec]) -> None:
    files = small_students[family]
    more = {"id": len(files.ids), "content": "<|own|>", "special": True, "normalized": False}
    more |= {"single_word": False, "lstrip": False, "rstrip": False}
    student = replace(files, spec={**files.spec, "added_tokens": [*files.spec["added_tokens"], more]})
    rows = np.random.default_rng(0).standard_normal((len(student.ids), 4)).astype(np.float32)
    plain = rows.copy()
    compose_rare(rows, student, np.array([len(files.ids) - 1, len(files.ids)]))
    assert np.array_equal(rows[-1], plain[-1])
    assert np.array_equal(rows[:-2], plain[:-2])


def test_without_text_neighbours_are_plain_rows(ready: InitContext, no_text: Corpus) -> None:
    nothing = replace(ready, corpus=no_text)
    rows, counts = init_embeddings("focus", nothing)
    assert counts["focus"] == 0
    assert np.array_equal(rows, init_embeddings("position", nothing)[0])


def test_without_parallel_text_rows_are_weighted_by_how_rare_pieces_are(ready: InitContext, tmp_path: Path) -> None:
    shutil.copytree(ready.corpus.path, tmp_path / "corpus")
    write_json(tmp_path / "corpus" / "stats.json", {**ready.corpus.stats, "parallel": {}})
    (tmp_path / "corpus" / "parallel.parquet").unlink()
    alone = replace(ready, corpus=Corpus(tmp_path / "corpus"))
    rows, counts = init_embeddings("align", alone)
    assert counts == {"aligned": 0}
    assert np.array_equal(rows, init_embeddings("frequency", alone)[0])
    assert not np.array_equal(rows, init_embeddings("position", alone)[0])


def test_neighbours_are_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    from hub_tools.cloning import focus as neighbours

    vectors = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    wanted, among = np.arange(0, 300, 3), np.arange(1, 300, 3)

    def found() -> list[tuple[int, list[int]]]:
        return [
            (int(i), sorted(a.tolist()))
            for ids, near, _ in nearest(vectors, wanted, among)
            for i, a in zip(ids, near, strict=True)
        ]

    whole = found()
    monkeypatch.setattr(neighbours, "_BLOCK_CELLS", 700)
    assert found() == whole and len(list(nearest(vectors, wanted, among))) == 15


def test_stored_rows_are_what_an_array_gives() -> None:
    import torch

    random = np.random.default_rng(0)
    tensor = torch.from_numpy(random.standard_normal((50, 8))).to(torch.bfloat16)
    lengths = random.integers(1, 6, size=30)
    ids = random.integers(0, 50, size=int(lengths.sum()))
    found = TokenMap(ids=ids, lengths=lengths, kinds=np.zeros(30, np.int8))
    stored, array = LazyEmbedding(tensor), tensor.float().numpy()
    assert stored.shape == (50, 8) and len(stored) == 50
    assert np.array_equal(mean_rows(found, stored), mean_rows(found, array))
    assert mean_rows(found, LazyEmbedding(tensor[:, 0])) == pytest.approx(mean_rows(found, array)[:, 0])
    links = Alignment(student=np.sort(random.integers(0, 20, 40)), teacher=ids[:40], links=random.random(40))
    every = np.arange(20)
    for a, b in zip(aligned_rows(links, stored, every, 0.1), aligned_rows(links, array, every, 0.1), strict=True):
        assert np.array_equal(a, b)
