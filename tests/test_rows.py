"""New rows against slow, obvious references, for each tokenizer family."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from hub_tools.config import Init, build
from hub_tools.corpus import Corpus
from hub_tools.rows import Given, new_rows
from hub_tools.rows.fit import _overlap
from hub_tools.rows.neighbours import nearest, token_vectors
from hub_tools.surgery import TokenizerFiles
from hub_tools.teacher import find_teacher
from hub_tools.vocab_map import Kind, map_vocabulary, surface_of
from tests.conftest import whole_job

FAMILIES = ("wordpiece", "byte-level", "gemma", "llama", "unigram")


@pytest.fixture(scope="module")
def ready(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Given:
    """Teacher, corpus and tokenizer of a small job, ready for any way of making rows."""
    from hub_tools.models import backbone, load_model
    from hub_tools.pipeline import run

    config = build(whole_job(tiny_teacher, tmp_path_factory.mktemp("rows") / "run"))
    run(config, last="tokenizer")
    theirs, ours = TokenizerFiles.read(tiny_teacher), TokenizerFiles.read(config.output / "tokenizer")
    rows = backbone(load_model(tiny_teacher, device="cpu")).get_input_embeddings().weight.detach().numpy()
    return Given(
        teacher=find_teacher(str(tiny_teacher)),
        theirs=theirs,
        ours=ours,
        vocab_map=map_vocabulary(theirs, ours),
        rows=rows,
        corpus=Corpus(config.output / "corpus"),
        target="tr",
    )


@pytest.mark.parametrize("init", get_args(Init))
def test_shared_tokens_keep_their_rows_and_new_ones_are_numbers(init: Init, ready: Given) -> None:
    rows, counts = new_rows(init, ready)
    exact = np.flatnonzero(ready.vocab_map.kinds == Kind.EXACT)
    assert np.array_equal(rows[exact], ready.rows[ready.vocab_map.ids[ready.vocab_map.offsets[exact]]])
    assert rows.shape == (len(ready.ours.ids), ready.rows.shape[1]) and np.isfinite(rows).all()
    assert (np.abs(rows).max(axis=1) > 0)[ready.new].all()
    plain, _ = new_rows("position", ready)
    moved = (rows[ready.new] != plain[ready.new]).any(axis=1)
    assert moved.any() == (init != "position")
    made = {"align": "aligned", "neighbours": "neighbours", "distill": "distilled"}
    assert counts[made.get(init, "aligned")] == 0 or init in made
    assert init not in made or counts[made[init]] > 100


@pytest.mark.parametrize("family", FAMILIES)
def test_weighted_means_are_what_a_loop_gives(
    family: str, small_tokenizers: dict[str, TokenizerFiles], small_students: dict[str, TokenizerFiles], ready: Given
) -> None:
    theirs, ours = small_tokenizers[family], small_students[family]
    rows = np.random.default_rng(0).standard_normal((max(theirs.ids.values()) + 1, 8)).astype(np.float32)
    found = map_vocabulary(theirs, ours)
    given = Given(
        teacher=ready.teacher, theirs=theirs, ours=ours, vocab_map=found, rows=rows, corpus=ready.corpus, target="tr"
    )
    assert found.count(Kind.FALLBACK) == 0
    names, tokens = ({n: t for t, n in files.ids.items()} for files in (theirs, ours))
    plain = theirs.load()
    text: dict[int, int] = {}
    for line in ready.corpus.all_texts("tr", "tr"):
        for number in plain.encode(line, add_special_tokens=False).ids:
            text[number] = text.get(number, 0) + 1
    total = sum(text.values())
    made = {init: new_rows(init, given)[0] for init in ("mean", "position", "length", "frequency")}
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


def test_stretches_of_text_are_matched_by_characters(minilm_files: TokenizerFiles) -> None:
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


def test_fitted_rows_bring_the_hidden_states_nearer(ready: Given) -> None:
    from hub_tools.models import backbone, load_model
    from hub_tools.rows import fit

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

    plain, _ = new_rows("position", ready)
    fitted = plain.copy()
    fit.fit_rows(fitted, ready, steps=40)
    assert distance(fitted) < 0.9 * distance(plain)
