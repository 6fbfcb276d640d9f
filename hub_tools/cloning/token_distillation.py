"""New rows fitted to the teacher: token distillation (Dobler et al. 2025, arXiv 2505.20133).

The teacher reads a text in its own tokens, the teacher with the new rows reads it in the student's, and the new rows
move until the hidden states at the same stretches of text are the same. Nothing but the new rows moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.cloning.context import InitContext, Rows
from hub_tools.core.errors import UserError
from hub_tools.core.hardware import autocast
from hub_tools.core.logging import bar
from hub_tools.models.loading import backbone, load_model
from hub_tools.models.teacher import STATIC

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding

STEPS, BATCH_TEXTS, LONGEST = 150, 64, 64
# Peak learning rate as a share of the usual length of the teacher's rows.
_RATE = 0.02
_TEXTS = 200_000
# Batches that are drawn together and ordered by length: little of a batch is padding then.
_DRAWN = 10


def distill_tokens(rows: Rows, context: InitContext, steps: int = STEPS) -> int:
    """Fit the new tokens' rows, float32, shape (V, hidden), in place; return how many occurred in the text.

    Raises:
        UserError: the teacher has no hidden states (static embeddings) or takes no rows, or a fit is not finite.
    """
    import torch

    if context.teacher.input_type == STATIC:
        raise UserError(
            "--init token_distillation fits rows to hidden states, and static embeddings have none. Use --init mean."
        )
    texts, hardware = list(islice(context.texts(), _TEXTS)), context.hardware
    if not texts:
        return 0
    teacher = backbone(load_model(context.teacher.path, device=hardware.device, policy=context.teacher.policy))
    check_takes_rows(teacher, rows.shape[1], hardware.device)
    teacher.requires_grad_(requires_grad=False)
    is_new = torch.zeros(len(rows), dtype=torch.bool)
    is_new[torch.from_numpy(context.new_ids)] = True
    table = torch.from_numpy(rows).to(hardware.device, copy=True).requires_grad_()
    # Only the rows of a batch's tokens have a gradient, so only they are moved.
    peak = _RATE * float(np.linalg.norm(context.teacher_rows[:10_000], axis=1).mean()) / rows.shape[1] ** 0.5
    optimizer: Any = torch.optim.SparseAdam([table], lr=peak)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    seen = torch.zeros(len(rows), dtype=torch.bool)
    with bar("fitting rows", steps, " steps") as progress:
        for by_student, by_teacher in islice(_batches(texts, context), steps):
            ids, mask = pad_encodings(by_student)
            looked_up = torch.nn.functional.embedding(ids.to(hardware.device), table, sparse=True)
            # Without a gradient the rows of tokens that the teacher has stay where they are.
            is_fitted = is_new[ids].unsqueeze(-1).to(hardware.device)
            batch_rows = torch.where(is_fitted, looked_up, looked_up.detach())
            with autocast(hardware):
                loss = distance(teacher, batch_rows, by_student, by_teacher)
            if not torch.isfinite(loss):
                raise UserError("--init token_distillation: the fit is not finite. Use --init align or mean.")
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
            seen[ids[mask.bool()]] = True
            progress.set_postfix_str(f"loss {loss.item():.4f}", refresh=False)
            progress.update()
    rows[context.new_ids] = table.detach().cpu().numpy()[context.new_ids]
    return int((seen & is_new).sum())


def _batches(texts: list[str], context: InitContext) -> Iterator[tuple[list[Encoding], list[Encoding]]]:
    """Yield batches of texts of similar length without end, as the tokenizers of student and teacher read them."""
    tokenizers = [context.student_spec.load(), context.teacher_spec.load()]
    for tokenizer in tokenizers:
        tokenizer.enable_truncation(LONGEST)
    random = np.random.default_rng(0)
    while True:
        drawn = [texts[number] for number in random.integers(0, len(texts), _DRAWN * BATCH_TEXTS)]
        by_student, by_teacher = (tokenizer.encode_batch(drawn) for tokenizer in tokenizers)
        by_length = np.argsort([len(encoding.ids) for encoding in by_student], kind="stable")
        for batch in random.permutation(by_length.reshape(_DRAWN, BATCH_TEXTS)):
            yield [by_student[number] for number in batch], [by_teacher[number] for number in batch]


def check_takes_rows(teacher: Any, width: int, device: str = "cpu") -> None:
    """Refuse a transformers model that reads ids alone: rows can only be fitted where they can be passed in."""
    import torch

    row = torch.zeros(1, 1, width, device=device)
    try:
        with torch.no_grad():
            hidden_states(teacher, inputs_embeds=row, attention_mask=torch.ones_like(row[..., 0], dtype=torch.long))
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"--init token_distillation passes the model rows instead of ids, and {type(teacher).__name__} takes no "
            "inputs_embeds. Use --init align or mean."
        ) from error


def distance(teacher: Any, rows: torch.Tensor, by_student: list[Encoding], by_teacher: list[Encoding]) -> Any:
    """Return the mean squared distance of hidden states of the same texts, read in the student's and its own tokens.

    `teacher` is a transformers model, `rows` are those of the student's tokens, shape (texts, length, hidden).
    """
    _, mask = pad_encodings(by_student)
    targets, has_target = _targets(teacher, by_student, by_teacher)
    states = hidden_states(teacher, inputs_embeds=scale_rows(teacher, rows), attention_mask=mask.to(rows.device))
    return ((states.float() - targets)[has_target] ** 2).mean()


def pad_encodings(encodings: list[Encoding]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and attention mask, int64, shape (texts, longest)."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    ids = [torch.tensor(encoding.ids, dtype=torch.long) for encoding in encodings]
    return pad_sequence(ids, batch_first=True), pad_sequence(list(map(torch.ones_like, ids)), batch_first=True)


def _targets(teacher: Any, by_student: list[Encoding], by_teacher: list[Encoding]) -> tuple[torch.Tensor, torch.Tensor]:
    # Means of the teacher's states over the pieces of each token's stretch of text, (texts, length, hidden), and where
    # there is one, bool, (texts, length).
    import torch

    ids, mask = (inputs.to(teacher.device) for inputs in pad_encodings(by_teacher))
    with torch.no_grad():
        states = hidden_states(teacher, input_ids=ids, attention_mask=mask)
    shares = torch.zeros(len(by_student), max(len(text.ids) for text in by_student), ids.shape[1])
    for row, (student_text, teacher_text) in enumerate(zip(by_student, by_teacher, strict=True)):
        shares[row, : len(student_text.ids), : len(teacher_text.ids)] = torch.from_numpy(
            overlap(student_text, teacher_text)
        )
    shares = shares.to(teacher.device)
    return shares @ states.float(), shares.sum(dim=2) > 0


def overlap(student: Encoding, teacher: Encoding) -> NDArray[np.float32]:
    """Return how much each of the teacher's tokens belongs to each of the student's, by characters; rows sum to 1.

    float32, shape (student tokens, teacher tokens). Special tokens of the template belong to the same number of
    special tokens of the other side. For example, the student's `books` against the teacher's `boo` and `ks` has the
    shares 0.6 and 0.4.
    """
    a, b = (np.asarray(e.offsets, dtype=np.int64).reshape(-1, 2) for e in (student, teacher))
    common = np.minimum(a[:, None, 1], b[None, :, 1]) - np.maximum(a[:, None, 0], b[None, :, 0])
    characters = np.maximum(common, 0).astype(np.float32)
    special = [np.flatnonzero(encoding.special_tokens_mask) for encoding in (student, teacher)]
    if len(special[0]) == len(special[1]):
        characters[special[0], special[1]] = 1
    totals = characters.sum(axis=1, keepdims=True)
    shares: NDArray[np.float32] = np.divide(characters, totals, out=np.zeros_like(characters), where=totals > 0)
    return shares


def scale_rows(teacher: Any, rows: torch.Tensor) -> torch.Tensor:
    """Return rows as the layers get them: some embeddings scale what they look up (Gemma by the root of the width)."""
    scale = getattr(teacher.get_input_embeddings(), "scalar_embed_scale", None)
    return rows if scale is None else rows * scale


def hidden_states(teacher: Any, **inputs: torch.Tensor) -> torch.Tensor:
    """Return the last hidden states, shape (texts, length, hidden)."""
    states: torch.Tensor = teacher(**inputs)[0]
    return states
