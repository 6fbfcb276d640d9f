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
from hub_tools.cloning.mean import subword_mean
from hub_tools.cloning.safetensors_io import LazyEmbedding
from hub_tools.cloning.token_distillation import (
    check_takes_rows,
    distance,
    distill_tokens,
    hidden_states,
    overlap,
    pad_encodings,
    scale_rows,
)
from hub_tools.config import RunConfig
from hub_tools.config_clone import Init
from hub_tools.core.errors import UserError
from hub_tools.core.files import write_json
from hub_tools.core.hardware import Hardware
from hub_tools.core.plain import to_plain
from hub_tools.corpus.build import Corpus
from hub_tools.models.resolve import find_teacher
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
    teacher, student = TokenizerSpec.read(tiny_teacher), TokenizerSpec.read(config.output / "tokenizer")
    rows = backbone(load_model(tiny_teacher, device="cpu")).get_input_embeddings().weight.detach().numpy()
    return InitContext(
        teacher=find_teacher(str(tiny_teacher)),
        teacher_spec=teacher,
        student_spec=student,
        token_map=map_tokens(teacher, student),
        teacher_rows=rows,
        corpus=Corpus(config.output / "corpus"),
        targets=("tr",),
        scratch=tmp_path_factory.mktemp("scratch"),
        hardware=Hardware(device="cpu", precision="fp32"),
    )


@pytest.mark.parametrize("init", get_args(Init))
def test_shared_tokens_keep_their_rows_and_new_ones_are_numbers(init: Init, ready: InitContext) -> None:
    rows, counts = init_embeddings(init, ready)
    exact = np.flatnonzero(ready.token_map.kinds == Match.EXACT)
    teacher_ids = ready.token_map.token_ids[ready.token_map.offsets[exact]]
    assert np.array_equal(rows[exact], ready.teacher_rows[teacher_ids])
    assert rows.shape == (len(ready.student_spec.vocab), ready.teacher_rows.shape[1]) and np.isfinite(rows).all()
    assert (np.abs(rows).max(axis=1) > 0)[ready.new_ids].all()
    plain, _ = init_embeddings("position", ready)
    moved = (rows[ready.new_ids] != plain[ready.new_ids]).any(axis=1)
    assert moved.any() == (init != "position")
    made = {"align": "aligned", "focus": "focus", "token_distillation": "distilled"}
    assert counts.keys() == ({made[init]} if init in made else set())
    assert init not in made or counts[made[init]] > 100


@pytest.mark.parametrize("family", FAMILIES)
def test_weighted_means_are_what_a_loop_gives(
    family: str,
    small_tokenizers: dict[str, TokenizerSpec],
    small_students: dict[str, TokenizerSpec],
    ready: InitContext,
) -> None:
    teacher, student = small_tokenizers[family], small_students[family]
    rows = np.random.default_rng(0).standard_normal((max(teacher.vocab.values()) + 1, 8)).astype(np.float32)
    token_map = map_tokens(teacher, student)
    context = replace(ready, teacher_spec=teacher, student_spec=student, token_map=token_map, teacher_rows=rows)
    assert token_map.count(Match.UNKNOWN) == 0
    names, tokens = ({n: t for t, n in spec.vocab.items()} for spec in (teacher, student))
    plain = teacher.load()
    text: dict[int, int] = {}
    for line in ready.corpus.all_texts("tr", ("tr",)):
        for number in plain.encode(line, add_special_tokens=False).ids:
            text[number] = text.get(number, 0) + 1
    total = sum(text.values())
    inits: tuple[Init, ...] = ("mean", "position", "length", "frequency")
    made = {init: init_embeddings(init, context)[0] for init in inits}
    for number in np.random.default_rng(1).choice(context.new_ids, 25, replace=False).tolist():
        start = token_map.offsets[number]
        ids = token_map.token_ids[start : start + token_map.lengths[number]].tolist()
        surface = surface_of(student, tokens[number])[0]
        bare = plain.encode(surface, add_special_tokens=False).ids or ids
        weights: dict[Init, list[tuple[int, float]]] = {
            "position": [(i, 1.0) for i in ids],
            "length": [(i, float(max(1, len(surface_of(teacher, names[i])[0])))) for i in ids],
            "frequency": [(i, 1e-3 / (1e-3 + text.get(i, 0) / total)) for i in ids],
            "mean": [(i, 1.0) for i in bare],
        }
        for init, pieces in weights.items():
            expected = sum(rows[i] * w for i, w in pieces) / sum(w for _, w in pieces)
            assert made[init][number] == pytest.approx(expected, abs=1e-5), (init, tokens[number])


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
    shares = overlap(whole.encode("unbelievably good"), theirs)
    assert shares.shape == (4, len(theirs.ids)) and shares.sum(axis=1) == pytest.approx(1)
    assert shares[0, 0] == shares[3, -1] == 1  # the template's tokens
    assert shares[1, 1:-2].sum() == pytest.approx(1) and shares[2, -2] == 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fitted_rows_bring_the_hidden_states_nearer(precision: str, ready: InitContext) -> None:
    import torch

    from hub_tools.models.loading import backbone, load_model

    model = backbone(load_model(ready.teacher.path, device="cpu"))
    texts = list(ready.corpus.all_texts("tr", ("tr",)))[:64]
    by_student, by_teacher = (spec.load().encode_batch(texts) for spec in (ready.student_spec, ready.teacher_spec))

    def distance_of(rows: Any) -> float:
        ids, _ = pad_encodings(by_student)
        with torch.no_grad():
            return float(distance(model, torch.from_numpy(rows)[ids], by_student, by_teacher))

    plain, _ = init_embeddings("position", ready)
    fitted = plain.copy()
    distill_tokens(fitted, replace(ready, hardware=Hardware(device="cpu", precision=precision)), steps=150)
    assert distance_of(fitted) < 0.95 * distance_of(plain)


@pytest.mark.parametrize("name", ["gemma3", "mpnet", "modernbert", "t5", "qwen3", "xlm-r"])
def test_rows_handed_over_are_read_as_their_ids(name: str, small_teachers: dict[str, Path]) -> None:
    """Whatever an architecture does to the rows that it looks up is done to fitted rows too."""
    import torch

    from hub_tools.models.loading import backbone, load_model

    model = backbone(load_model(small_teachers[name], device="cpu"))
    rows = model.get_input_embeddings().weight.detach()
    encodings = TokenizerSpec.read(small_teachers[name]).load().encode_batch(["A plain sentence.", "short"])
    ids, mask = pad_encodings(encodings)
    check_takes_rows(model, rows.shape[1])
    with torch.no_grad():
        looked_up = hidden_states(model, input_ids=ids, attention_mask=mask)
        given_rows = hidden_states(model, inputs_embeds=scale_rows(model, rows[ids]), attention_mask=mask)
    assert torch.allclose(looked_up[mask.bool()], given_rows[mask.bool()], atol=1e-5)


def test_a_model_that_takes_no_rows_is_refused() -> None:
    import torch

    class ReadsIds(torch.nn.Module):
        def forward(self, input_ids: Any, attention_mask: Any = None, **kwargs: Any) -> Any:
            return (torch.nn.functional.one_hot(input_ids), attention_mask)

    with pytest.raises(UserError, match=r"ReadsIds takes no inputs_embeds. Use --init align or mean\."):
        check_takes_rows(ReadsIds(), 8)


@pytest.mark.parametrize("family", FAMILIES)
def test_added_tokens_outside_the_model_keep_their_rows(family: str, small_students: dict[str, TokenizerSpec]) -> None:
    files = small_students[family]
    more = {"id": len(files.vocab), "content": "<|own|>", "special": True, "normalized": False}
    more |= {"single_word": False, "lstrip": False, "rstrip": False}
    student = replace(files, spec={**files.spec, "added_tokens": [*files.spec["added_tokens"], more]})
    rows = np.random.default_rng(0).standard_normal((len(student.vocab), 4)).astype(np.float32)
    plain = rows.copy()
    compose_rare(rows, student, np.array([len(files.vocab) - 1, len(files.vocab)]))
    assert np.array_equal(rows[-1], plain[-1])
    assert np.array_equal(rows[:-2], plain[:-2])


def test_without_text_neighbours_are_plain_rows(ready: InitContext, no_text: Corpus) -> None:
    nothing = replace(ready, corpus=no_text)
    rows, counts = init_embeddings("focus", nothing)
    assert counts["focus"] == 0
    assert np.array_equal(rows, init_embeddings("position", nothing)[0])


def test_without_parallel_text_rows_are_weighted_by_how_rare_pieces_are(ready: InitContext, tmp_path: Path) -> None:
    shutil.copytree(ready.corpus.path, tmp_path / "corpus")
    write_json(tmp_path / "corpus" / "stats.json", to_plain(replace(ready.corpus.result, parallel=None)))
    (tmp_path / "corpus" / "parallel.parquet").unlink()
    alone = replace(ready, corpus=Corpus(tmp_path / "corpus"))
    rows, counts = init_embeddings("align", alone)
    assert counts == {}
    assert np.array_equal(rows, init_embeddings("frequency", alone)[0])
    assert not np.array_equal(rows, init_embeddings("position", alone)[0])


def test_neighbours_are_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    from hub_tools.cloning import focus

    vectors = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    ids, candidates = np.arange(0, 300, 3), np.arange(1, 300, 3)

    def neighbours() -> list[tuple[int, list[int]]]:
        return [
            (int(i), sorted(near.tolist()))
            for block, neighbour_ids, _ in nearest(vectors, ids, candidates)
            for i, near in zip(block, neighbour_ids, strict=True)
        ]

    whole = neighbours()
    monkeypatch.setattr(focus, "_BLOCK_CELLS", 700)
    assert neighbours() == whole and len(list(nearest(vectors, ids, candidates))) == 15


def test_stored_rows_are_what_an_array_gives() -> None:
    import torch

    random = np.random.default_rng(0)
    tensor = torch.from_numpy(random.standard_normal((50, 8))).to(torch.bfloat16)
    lengths = random.integers(1, 6, size=30)
    ids = random.integers(0, 50, size=int(lengths.sum()))
    token_map = TokenMap(token_ids=ids, lengths=lengths, kinds=np.zeros(30, np.int8))
    stored, array = LazyEmbedding(tensor), tensor.float().numpy()
    assert stored.shape == (50, 8) and len(stored) == 50
    assert np.array_equal(subword_mean(token_map, stored), subword_mean(token_map, array))
    assert subword_mean(token_map, LazyEmbedding(tensor[:, 0])) == pytest.approx(subword_mean(token_map, array)[:, 0])
    links = Alignment(student=np.sort(random.integers(0, 20, 40)), teacher=ids[:40], links=random.random(40))
    every = np.arange(20)
    for a, b in zip(aligned_rows(links, stored, every, 0.1), aligned_rows(links, array, every, 0.1), strict=True):
        assert np.array_equal(a, b)
