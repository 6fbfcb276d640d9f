"""Stage `distill`: the student learns the teacher's vectors.

Every `eval_steps` steps the held-out cosine is measured and a checkpoint replaces the last one; the weights with the
best held-out cosine, the backbone's blended with the clone's, become the student. The loop is in `trainer.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_tools.config import DistillConfig
from hub_tools.core.distributed import ALONE, Processes
from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import log
from hub_tools.models.encoder import Encoder
from hub_tools.models.loading import SAFE, LoadPolicy, is_static, load_model, longest_input
from hub_tools.training.data import load_examples
from hub_tools.training.team import Team
from hub_tools.training.trainer import Trainer
from hub_tools.vectors.dataset import EmbeddingDataset

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Longest input of a student that names none.
_LONGEST = 512
_HELDOUT_ROWS = 1000


def distill(
    clone: Path,
    embeddings: EmbeddingDataset,
    out: Path,
    config: DistillConfig,
    *,
    hardware: Hardware,
    seed: int,
    policy: LoadPolicy = SAFE,
    processes: Processes = ALONE,
) -> dict[str, Any]:
    """Train the clone on the teacher's vectors and save the student.

    Args:
        clone: folder of the clone.
        embeddings: the teacher's vectors.
        out: folder of the student; a checkpoint in it is continued.
        config: how to train.
        hardware: where to train.
        seed: of the order of the texts.
        policy: what the teacher's files may do.
        processes: those that train together; the main one writes.

    Returns:
        The `distill` section of the report.

    Raises:
        UserError: the loss is not finite, there is no text, or an option does not fit.
    """
    team = Team(hardware.device, processes)
    model = load_model(clone, device=str(team.device), policy=policy)
    longest = longest_input(model) or (None if is_static(model) else _LONGEST)
    log.info("  on %s", hardware)
    _check_inputs(model, embeddings, hardware)
    log.info("  tokenizing")
    data = load_examples(embeddings, "train", clone / "tokenizer.json", longest)
    every = -(-embeddings.rows("validation") // _HELDOUT_ROWS) or 1
    heldout = load_examples(embeddings, "validation", clone / "tokenizer.json", longest, every=every)
    if not len(data.label):
        raise UserError("There is no text to train on: the embeddings have no train split.")
    trainer = Trainer(model, data, heldout, out, config, hardware=hardware, seed=seed, team=team)
    trainer.train()
    return trainer.finish(clone, longest, policy=policy)


def _check_inputs(model: SentenceTransformer, embeddings: EmbeddingDataset, hardware: Hardware) -> None:
    """Refuse a model that reads more than token ids: it would be trained on other inputs than it is used with."""
    texts = embeddings.manifest["prompts"]
    encoder = Encoder(model, hardware)
    for name in embeddings.manifest["rows_by_prompt"]:
        if not encoder.fits(texts.get(name) or ""):
            behind = f" behind the prompt {name!r}" if texts.get(name) else ""
            raise UserError(
                f"The student's own `encode` reads texts{behind} in a way of its own (a chat template, say, or pooling "
                "without the prompt), and the training would read them as plain text. Expected a model that reads "
                "token ids alone; --query-share 0 --document-share 0 leave prompts out."
            )
