"""Stage `clone`: the teacher with another vocabulary. Every weight but the token embeddings is kept exactly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hub_tools.align import Alignment, align, aligned_rows
from hub_tools.corpus import Corpus
from hub_tools.models import backbone, load_model, save_model
from hub_tools.progress import log
from hub_tools.surgery import TokenizerFiles
from hub_tools.teacher import Teacher
from hub_tools.vocab_map import Kind, VocabMap, compose_from_own, map_vocabulary

# Share of the aligned row in a new row; the rest is the mean of its surface.
ALIGNED_SHARE = 0.7
_BATCH = 4096


def clone(teacher: Teacher, tokenizer: Path, corpus: Corpus, out: Path, *, init: str) -> dict[str, Any]:
    """Give the teacher the student's tokenizer and save the result as a sentence-transformers model.

    Args:
        teacher: the model to clone.
        tokenizer: folder of the student's tokenizer.
        corpus: gives the parallel text for `init="align"`.
        out: folder of the clone.
        init: `mean` or `align`.

    Returns:
        Counts of exact, composed, byte, fallback and aligned rows.
    """
    theirs, ours = TokenizerFiles.read(teacher.path), TokenizerFiles.read(tokenizer)
    vocab_map = map_vocabulary(theirs, ours)
    model = load_model(teacher.path, device="cpu", trust=teacher.trust)
    embedding = backbone(model).get_input_embeddings()
    teacher_rows = embedding.weight.detach().float().numpy()
    rows = mean_rows(vocab_map, teacher_rows)
    aligned = 0
    if init == "align" and corpus.has_pairs:
        alignment = _align(theirs.load(), ours.load(), corpus)
        aligned = _mix_aligned(rows, vocab_map, alignment, teacher_rows, ours)
    _replace_rows(backbone(model), rows, embedding.weight.dtype, ours)
    save_model(model, out, tokenizer=tokenizer, max_seq_length=teacher.max_seq_length)
    counts = {kind.name.lower(): vocab_map.count(kind) for kind in Kind}
    if counts["fallback"]:
        log.warning("  the teacher reads %d of the new tokens as unknown", counts["fallback"])
    return {**counts, "aligned": aligned}


def mean_rows(vocab_map: VocabMap, teacher_rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each student token's row as the mean of its teacher rows (mean composition, arXiv 2605.29992).

    Args:
        vocab_map: student token -> teacher tokens.
        teacher_rows: float32, shape (teacher vocabulary, hidden).

    Returns:
        float32, shape (V, hidden); exact tokens get the teacher's row bit for bit.
    """
    rows = np.empty((len(vocab_map.lengths), teacher_rows.shape[1]), np.float32)
    # Most tokens have one teacher token: a plain copy. Only the others are summed.
    np.take(teacher_rows, vocab_map.ids[vocab_map.offsets], axis=0, out=rows, mode="clip")
    several = np.flatnonzero(vocab_map.lengths > 1)
    if len(several):
        lengths = vocab_map.lengths[several]
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1]) + np.repeat(vocab_map.offsets[several] - (ends - lengths), lengths)
        sums = np.add.reduceat(teacher_rows[vocab_map.ids[places]], ends - lengths, axis=0)
        rows[several] = sums / lengths[:, None].astype(np.float32)
    return rows


def _mix_aligned(
    rows: NDArray[np.float32],
    vocab_map: VocabMap,
    alignment: Alignment,
    teacher_rows: NDArray[np.float32],
    student: TokenizerFiles,
) -> int:
    """Improve the new tokens' rows, in place, with what their translations are; returns how many were aligned.

    A new token that is too rare in the parallel text takes the mean of the student's own rows of its surface,
    most of which are aligned: better than the teacher's pieces, which belong to another language.
    """
    new = np.flatnonzero(vocab_map.kinds != Kind.EXACT)
    found, found_rows = aligned_rows(alignment, teacher_rows, new)
    rows[found] = (1 - ALIGNED_SHARE) * rows[found] + ALIGNED_SHARE * found_rows
    rare = np.setdiff1d(new, found)
    if len(rare):
        composed = compose_from_own(student, rare)
        usable = composed.kinds != Kind.FALLBACK
        rows[rare[usable]] = mean_rows(composed, rows)[usable]
    return len(found)


def _align(teacher: Tokenizer, student: Tokenizer, corpus: Corpus) -> Alignment:
    """Align the student's tokens of the target side with the teacher's tokens of the source side."""
    pairs = list(corpus.pairs())

    def ids(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
        return [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def token_pairs() -> Iterator[tuple[list[int], list[int]]]:
        for start in range(0, len(pairs), _BATCH):
            batch = pairs[start : start + _BATCH]
            yield from zip(
                ids(student, [pair.target for pair in batch]),
                ids(teacher, [pair.source for pair in batch]),
                strict=True,
            )

    log.info("  aligning the words of %s sentence pairs", f"{len(pairs):,}")
    return align(token_pairs(), teacher.get_vocab_size(with_added_tokens=True))


def _replace_rows(transformer: Any, rows: NDArray[np.float32], dtype: Any, tokenizer: TokenizerFiles) -> None:
    import torch

    old = transformer.get_input_embeddings()
    ids = tokenizer.ids
    padding_idx = ids.get(tokenizer.settings.get("pad_token", "")) if old.padding_idx is not None else None
    new = torch.nn.Embedding(len(rows), rows.shape[1], padding_idx=padding_idx, dtype=dtype)
    with torch.no_grad():
        new.weight.copy_(torch.from_numpy(rows))
    transformer.set_input_embeddings(new)
    config = transformer.config
    config.vocab_size = len(rows)
    for name in ("pad", "bos", "eos", "cls", "sep", "unk"):
        if getattr(config, f"{name}_token_id", None) is not None and tokenizer.settings.get(f"{name}_token") in ids:
            setattr(config, f"{name}_token_id", ids[tokenizer.settings[f"{name}_token"]])
