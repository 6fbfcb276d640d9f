"""Stage `distill`: the student learns the teacher's vectors.

Every `eval_steps` steps the student is measured on held-out text and a checkpoint replaces the last one. The best
weights become the student, the backbone's interpolated with the clone's, unless the teacher merely trimmed is nearer to
the goal. The loop is in `trainer.py`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hub_tools.config import DistillConfig
from hub_tools.core.distributed import ALONE, Processes
from hub_tools.core.errors import UserError
from hub_tools.core.files import write_json
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import log
from hub_tools.core.plain import to_plain
from hub_tools.models.encoder import Encoder
from hub_tools.models.loading import SAFE, LoadPolicy, is_static, load_model, longest_input, save_model
from hub_tools.results import Agreement, DistillResult
from hub_tools.training import checkpoint
from hub_tools.training.data import TrainingSet, load_training_set
from hub_tools.training.heldout import agreement_in
from hub_tools.training.trainer import Trainer, described
from hub_tools.vectors.agreement import nearness
from hub_tools.vectors.dataset import EmbeddingDataset

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Longest input, in tokens, of a student that names none.
_MAX_TOKENS = 512
_HELDOUT_ROWS = 1000
# How much of the clone is in a student that had far to go; what a near one learns does no harm (docs/results.md).
_SHARE_OF_CLONE = 0.5


def distill(
    clone: Path,
    embeddings: EmbeddingDataset,
    out: Path,
    config: DistillConfig,
    *,
    hardware: Hardware,
    seed: int,
    trim: Path | None = None,
    may_keep_trim: bool = True,
    is_shallow: bool = False,
    policy: LoadPolicy = SAFE,
    processes: Processes = ALONE,
) -> DistillResult:
    """Train the clone on the teacher's vectors and save the student in `out`, where a checkpoint is continued.

    `trim` is the teacher plainly trimmed: where that is nearer to the vectors on held-out text after all, it becomes
    the student if `may_keep_trim`. `is_shallow` says that the clone lacks layers of its teacher. The other arguments
    are those of `Trainer`; `policy` says what the clone's files may do.

    Raises:
        UserError: the loss is not finite, there is no text, or an option does not fit.
    """
    out.mkdir(parents=True, exist_ok=True)
    model = load_model(clone, device=hardware.device, policy=policy)
    max_tokens = longest_input(model) or (None if is_static(model) else _MAX_TOKENS)
    log.debug("  on %s", hardware)
    check_inputs(model, embeddings, hardware)
    log.debug("  tokenizing")
    train_set = load_training_set(embeddings, "train", clone / "tokenizer.json", max_tokens, folder=out)
    every = max(1, math.ceil(embeddings.rows("validation") / _HELDOUT_ROWS))
    heldout, *others = (
        load_training_set(
            embeddings,
            "validation",
            folder / "tokenizer.json",
            max_tokens,
            folder=out,
            every=every,
            with_others=False,
        )
        for folder in (clone, *([trim] if trim else []))
    )
    if not len(train_set):
        raise UserError("There is no text to train on: the embeddings have no train split.")
    trainer = Trainer(model, train_set, heldout, out, config, hardware=hardware, seed=seed, processes=processes)
    trainer.train()
    reference = Reference(trim, others[0], may_keep_trim) if trim else None
    manifest = embeddings.manifest
    is_own = manifest.get("pair_goal") is not None and not manifest.get("text_pooling")
    # A clone without some of its layers knows little that is worth going back to.
    share = 0.0 if trainer.is_near or is_shallow else _SHARE_OF_CLONE
    return save_student(trainer, clone, max_tokens, share=share, trim=reference, is_own=is_own, policy=policy)


class Reference(NamedTuple):
    """A model that the student has to be as good as, and held-out texts as its tokenizer cuts them."""

    folder: Path
    heldout: TrainingSet
    may_replace: bool  # whether it becomes the student where the student is not


def save_student(
    trainer: Trainer,
    clone: Path,
    max_tokens: int | None,
    *,
    share: float = _SHARE_OF_CLONE,
    trim: Reference | None = None,
    is_own: bool = False,
    policy: LoadPolicy = SAFE,
) -> DistillResult:
    """Save the student, its best weights interpolated with the clone's or else the trim, and training.json.

    `clone` is the model before training, with the student's tokenizer; `max_tokens` the longest input of the student;
    `share` how much of the clone is in it where the options do not say; `is_own` says that what the student learned are
    the teacher's own vectors, of the same text or of its translation.
    """
    model, tokenizer, processes = trainer.student.model, clone, trainer.processes
    checkpoint.load_best(trainer.out, model)
    asked = trainer.config.weight_interpolation
    share = share if asked is None else asked
    _interpolate(trainer, load_model(clone, device=str(trainer.student.device), policy=policy), share)
    after, of_trim, keeps_trim = trainer.measure_heldout(), None, False
    log.debug("  the student: %s", described(after))
    if trim is not None:
        trimmed = load_model(trim.folder, device=str(trainer.student.device), policy=policy)
        of_trim = trainer.measure_other(trimmed, trim.heldout)
        keeps_trim = _refuses(after, of_trim, may_replace=trim.may_replace)
        if keeps_trim:
            model, tokenizer = trimmed, trim.folder
    cosine = None if after is None else after.cosine
    if processes.is_main:
        save_model(model, trainer.out, tokenizer=tokenizer, max_seq_length=max_tokens)
        found = {
            "clone": agreement_in(trainer.history[0]),
            "trim": of_trim,
            "student": of_trim if keeps_trim else after,
        }
        training = {
            "heldout_texts": len(trainer.heldout),
            "is_own": is_own,
            "agreement": to_plain(found),
            "history": trainer.history,
        }
        write_json(trainer.out / "training.json", training)
    processes.barrier()
    cosine_before, seconds = trainer.history[0]["cosine"], trainer.seconds
    return DistillResult(
        device=trainer.hardware.device,
        precision=trainer.hardware.precision,
        steps=trainer.steps,
        best_step=trainer.best["step"],
        tokens=trainer.tokens,
        tokens_per_second=round(trainer.tokens / seconds, 1),
        learning_rate=trainer.learning_rate,
        cosine_before=None if cosine_before is None else round(cosine_before, 6),
        cosine_after=None if cosine is None else round(cosine, 6),
        minutes=round(seconds / 60, 2),
        agreement=after,
        trim_agreement=of_trim,
        kept_trim=keeps_trim,
        weight_interpolation=share,
    )


def _refuses(student: Agreement | None, trim: Agreement | None, *, may_replace: bool) -> bool:
    """Return whether the trim takes the place of a student that is not as near to its goal; say so if it is not."""
    log.debug("  the plain trim: %s", described(trim))
    if student is None or trim is None:
        return False
    # Of a teacher that does not know the language the trim has all cosines of the other texts, and no order in its own.
    if nearness(student) >= nearness(trim) or student.ranks >= trim.ranks:
        return False
    then = "is the student now" if may_replace else "is made if --learn and --keep are left out"
    log.warning("  the trained student is further from its goal than the plain trim, which %s", then)
    return may_replace


def _interpolate(trainer: Trainer, start: SentenceTransformer, share: float) -> None:
    """Move the weights of a student, but the token embeddings, by a share towards those that it started with.

    It keeps what the teacher knew: WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903.
    """
    import torch

    with torch.no_grad():
        for parameter, before in zip(trainer.student.model.parameters(), start.parameters(), strict=True):
            if parameter is not trainer.student.token_embeddings:
                parameter.lerp_(before, share)


def check_inputs(model: SentenceTransformer, embeddings: EmbeddingDataset, hardware: Hardware) -> None:
    """Raise a UserError if the model's own `encode` gives other vectors than its token ids, which training reads."""
    prompts, encoder = embeddings.manifest["prompts"], Encoder(model, hardware)
    for name in embeddings.manifest["rows_by_prompt"]:
        if not encoder.fits(prompts.get(name) or ""):
            behind = f" behind the prompt {name!r}" if prompts.get(name) else ""
            raise UserError(
                f"The student's own `encode` reads texts{behind} in a way of its own (a chat template, say, or pooling "
                "without the prompt), and the training would read them as plain text. Expected a model that reads "
                "token ids alone; --query-share 0 --document-share 0 leave prompts out."
            )
