"""New rows fitted to the teacher: token distillation (Dobler et al. 2025, arXiv 2505.20133).

The teacher reads a text in its own tokens, the teacher with the new rows reads it in the student's, and the new rows
move until the hidden states at the same stretches of text are the same. Nothing but the new rows moves.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.errors import UserError
from hub_tools.core.logging import bar
from hub_tools.models.loading import backbone, load_model
from hub_tools.models.teacher import STATIC

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding

    from hub_tools.cloning.context import InitContext, Rows

STEPS, BATCH_TEXTS, LONGEST = 150, 64, 64
# Peak learning rate as a share of the usual length of the teacher's rows.
_RATE = 0.02
_TEXTS = 200_000


def distill_tokens(rows: Rows, given: InitContext, steps: int = STEPS) -> int:
    """Fit the new tokens' rows, in place; returns how many occurred in the text.

    Args:
        rows: the student's rows so far, float32, shape (V, hidden).
        given: what they were made from.
        steps: optimizer steps of BATCH_TEXTS texts.

    Raises:
        UserError: the teacher has no hidden states (static embeddings) or takes no rows, or a fit is not finite.
    """
    import torch

    if given.teacher.input_type == STATIC:
        raise UserError("--init distill fits rows to hidden states, and static embeddings have none. Use --init mean.")
    texts = list(islice(given.corpus.all_texts(given.target, given.target), _TEXTS))
    if not texts:
        return 0
    teacher = backbone(load_model(given.teacher.path, device="cpu", policy=given.teacher.policy))
    _check_inputs(teacher, rows.shape[1])
    teacher.requires_grad_(requires_grad=False)
    theirs, ours = given.theirs.load(), given.ours.load()
    for tokenizer in (theirs, ours):
        tokenizer.enable_truncation(LONGEST)
    is_new = torch.zeros(len(rows), dtype=torch.bool)
    is_new[torch.from_numpy(given.new)] = True
    table = torch.from_numpy(rows).clone().requires_grad_()
    # Only the rows of a batch's tokens have a gradient, so only they are moved.
    peak = _RATE * float(np.linalg.norm(given.rows[:10_000], axis=1).mean()) / rows.shape[1] ** 0.5
    optimizer: Any = torch.optim.SparseAdam([table], lr=peak)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    random, seen = np.random.default_rng(0), torch.zeros(len(rows), dtype=torch.bool)
    with bar("fitting rows", steps, " steps") as progress:
        for _ in range(steps):
            batch = [texts[i] for i in random.integers(0, len(texts), BATCH_TEXTS)]
            read, wanted = ours.encode_batch(batch), theirs.encode_batch(batch)
            ids, mask = _padded(read)
            goal, spans = _goal(teacher, read, wanted, ids.shape)
            vectors = torch.nn.functional.embedding(ids, table, sparse=True)
            found = _hidden(teacher, inputs_embeds=_scaled(teacher, vectors), attention_mask=mask)
            loss: Any = ((found - goal)[spans] ** 2).mean()
            if not torch.isfinite(loss):
                raise UserError("--init distill: the fit is not finite. Use --init align or mean.")
            loss.backward()
            table.grad = _only(table.grad, is_new)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
            seen[ids[mask.bool()]] = True
            progress.set_postfix_str(f"loss {loss.item():.4f}", refresh=False)
            progress.update()
    rows[given.new] = table.detach().numpy()[given.new]
    return int((seen & is_new).sum())


def _check_inputs(teacher: Any, width: int) -> None:
    """Refuse a model that reads ids alone: rows can only be fitted where they can be put in."""
    import torch

    row = torch.zeros(1, 1, width)
    try:
        with torch.no_grad():
            _hidden(teacher, inputs_embeds=row, attention_mask=torch.ones(1, 1, dtype=torch.long))
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"--init distill hands the model rows in the place of ids, and {type(teacher).__name__} takes no "
            "inputs_embeds. Use --init align or mean."
        ) from error


def _only(gradient: Any, wanted: torch.Tensor) -> Any:
    """A sparse gradient without the rows that shall not move."""
    import torch

    gradient = gradient.coalesce()
    use = wanted[gradient.indices()[0]]
    return torch.sparse_coo_tensor(
        gradient.indices()[:, use], gradient.values()[use], gradient.shape, check_invariants=False
    )


def _padded(read: list[Encoding]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, int64, shape (texts, longest)."""
    import torch

    longest = max(1, *(len(e.ids) for e in read))
    ids, mask = torch.zeros(len(read), longest, dtype=torch.long), torch.zeros(len(read), longest, dtype=torch.long)
    for row, encoded in enumerate(read):
        ids[row, : len(encoded.ids)] = torch.tensor(encoded.ids)
        mask[row, : len(encoded.ids)] = 1
    return ids, mask


def _goal(
    teacher: Any, read: list[Encoding], wanted: list[Encoding], shape: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the hidden states shall be: the mean of the teacher's over the pieces of each token's stretch of text.

    Returns:
        Goals, shape (texts, length, hidden), and where there is one, bool, shape (texts, length).
    """
    import torch

    ids, mask = _padded(wanted)
    with torch.no_grad():
        states = _hidden(teacher, input_ids=ids, attention_mask=mask)
    goals, there = torch.zeros(*shape, states.shape[-1]), torch.zeros(shape, dtype=torch.bool)
    for row, (ours, theirs) in enumerate(zip(read, wanted, strict=True)):
        shares = torch.from_numpy(_overlap(ours, theirs))
        goals[row, : len(ours.ids)] = shares @ states[row, : len(theirs.ids)]
        there[row, : len(ours.ids)] = shares.sum(dim=1) > 0
    return goals, there


def _overlap(ours: Encoding, theirs: Encoding) -> NDArray[np.float32]:
    """How much each of their tokens belongs to each of ours, by characters; rows sum to 1.

    float32, shape (ours, theirs). Special tokens of the template belong to the same number of special tokens of the
    other side.
    """
    a, b = (np.asarray(e.offsets, dtype=np.int64).reshape(-1, 2) for e in (ours, theirs))
    common = np.minimum(a[:, None, 1], b[None, :, 1]) - np.maximum(a[:, None, 0], b[None, :, 0])
    found = np.maximum(common, 0).astype(np.float32)
    special = [np.flatnonzero(e.special_tokens_mask) for e in (ours, theirs)]
    if len(special[0]) == len(special[1]):
        found[special[0], special[1]] = 1
    totals = found.sum(axis=1, keepdims=True)
    shares: NDArray[np.float32] = np.divide(found, totals, out=np.zeros_like(found), where=totals > 0)
    return shares


def _scaled(teacher: Any, vectors: torch.Tensor) -> torch.Tensor:
    """Rows as the layers get them: some embeddings scale what they look up (Gemma by the root of the width)."""
    scale = getattr(teacher.get_input_embeddings(), "scalar_embed_scale", None)
    return vectors if scale is None else vectors * scale


def _hidden(teacher: Any, **inputs: torch.Tensor) -> torch.Tensor:
    """The last hidden states, shape (texts, length, hidden)."""
    states: torch.Tensor = teacher(**inputs)[0]
    return states
