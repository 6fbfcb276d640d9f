"""Stage `distill`: the student learns the teacher's vectors.

Every `eval_every` steps the held-out cosine is measured and a checkpoint replaces the last one; the weights with the
best held-out cosine, the backbone's blended with the clone's, become the student. The loop is in `trainer.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.config import DistillConfig
from hub_tools.core.distributed import ALONE, Processes
from hub_tools.core.errors import UserError
from hub_tools.core.logging import log
from hub_tools.models.encoder import Encoder
from hub_tools.models.loading import NO_TRUST, Hardware, Trust, is_static, load_model, longest_input
from hub_tools.training.batching import TokenizedTexts
from hub_tools.training.team import Team
from hub_tools.training.trainer import Trainer
from hub_tools.vectors.embed import Embeddings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Longest input of a student that names none.
_LONGEST = 512
_HELDOUT_ROWS = 1000


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Texts as token ids, each with the vector it shall get.

    Attributes:
        texts: the student's token ids.
        label: row of `vectors` for each text, int64, shape (texts,).
        vectors: the teacher's, float16 or float32, shape (rows, dim).
        source: number of the parallel file of each text's pair; of a monolingual text -1 - the number of its language;
            int64, shape (texts,).
        is_target: whether each text is in the target language's side of a pair, bool, shape (texts,).
    """

    texts: TokenizedTexts
    label: NDArray[np.int64]
    vectors: NDArray[Any]
    source: NDArray[np.int64]
    is_target: NDArray[np.bool_]

    def repeats(self, balance: float, source_share: float, language_balance: float = 1.0) -> NDArray[np.float64]:
        """How often an epoch holds each text, float64, shape (texts,).

        Args:
            balance: a parallel file of n pairs weighs as n ** balance; the largest is taken once.
            source_share: share of the pairs whose source side is taken too.
            language_balance: the same for languages of n monolingual texts.
        """
        pairs = self.source >= 0
        times = np.ones(len(self.source))
        for group, numbers, power in ((pairs, self.source, balance), (~pairs, -1 - self.source, language_balance)):
            if group.any():
                sizes = np.bincount(numbers[group])
                times[group] = (sizes.max() / sizes[numbers[group]]) ** (1 - power)
        times[pairs & ~self.is_target] *= source_share
        return times


def distill(
    clone: Path,
    embeddings: Embeddings,
    out: Path,
    config: DistillConfig,
    *,
    hardware: Hardware,
    seed: int,
    trust: Trust = NO_TRUST,
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
        trust: what the teacher's files may do.
        processes: those that train together; the main one writes.

    Returns:
        The `distill` section of the report.

    Raises:
        UserError: the loss is not finite, there is no text, or an option does not fit.
    """
    team = Team(hardware.device, processes)
    model = load_model(clone, device=str(team.device), trust=trust)
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
    return trainer.finish(clone, longest, trust=trust)


def _check_inputs(model: SentenceTransformer, embeddings: Embeddings, hardware: Hardware) -> None:
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


def load_examples(
    embeddings: Embeddings, split: str, tokenizer_file: Path, max_tokens: int | None, *, every: int = 1
) -> Examples:
    """Tokenize a split with the student's tokenizer.

    A row with a translation gives two texts with the same vector.

    Args:
        embeddings: the teacher's vectors.
        split: train or validation.
        tokenizer_file: the student's tokenizer.json.
        max_tokens: longer texts are cut; None for static embeddings, which read any length and no template.
        every: take one row in so many.
    """
    texts = TokenizedTexts.Builder(tokenizer_file, max_tokens)
    vectors: list[NDArray[Any]] = []
    files: dict[str, int] = {}
    languages: dict[str, int] = {}
    label, source, is_target = [], [], []
    rows = 0
    for batch in embeddings.batches(split):
        chosen = zip(*(column[::every] for column in batch[:4]), strict=True)
        both: list[str] = []
        for row, (text, translation, origin, prompt) in enumerate(chosen, rows):
            own = [text] if translation is None else [text, translation]
            both += [prompt + part for part in own]
            label += [row] * len(own)
            if translation is None:
                source.append(-1 - languages.setdefault(origin, len(languages)))
            else:
                source += [files.setdefault(origin, len(files))] * len(own)
            is_target += [False, True][: len(own)]
        texts.add(both)
        vectors.append(batch.vectors[::every])
        rows += len(vectors[-1])
    return Examples(
        texts=texts.build(),
        label=np.asarray(label, dtype=np.int64),
        vectors=np.concatenate(vectors) if vectors else np.empty((0, 0), np.float16),
        source=np.asarray(source, dtype=np.int64),
        is_target=np.asarray(is_target, dtype=np.bool_),
    )
