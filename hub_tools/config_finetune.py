"""The options of the stage `finetune`; a part of `hub_tools.config`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from hub_tools.core.errors import UsageError
from hub_tools.core.fields import FILE, Section, option

# What a model is trained for, in the order in which it is done where nobody says otherwise.
Skill = Literal["nli", "retrieval", "sts"]
SKILLS: tuple[Skill, ...] = get_args(Skill)


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(Section):
    """How the distilled student is trained with labels, or pseudo-labels; without data it is left as it is."""

    section: ClassVar[str] = "finetune"
    nli: tuple[str, ...] = option(
        (),
        "Inference to train on: a file or Hub dataset (premise, hypothesis, label, or anchor, positive, negative).",
        flag="--finetune-nli",
        metavar=FILE,
    )
    retrieval: tuple[str, ...] = option(
        (),
        "Search to train on, as --retrieval takes it; or a file or Hub dataset (query, positive, perhaps negative, or "
        "title, text).",
        flag="--finetune-retrieval",
        metavar=FILE,
    )
    paragraphs: tuple[str, ...] = option(
        (),
        "Paragraphs in their order (text, perhaps title), which titles, first sentences and the paragraphs before "
        "become queries of; no labels needed.",
        flag="--finetune-paragraphs",
        metavar=FILE,
    )
    sts: tuple[str, ...] = option(
        (),
        "Similarity to train on: a file or Hub dataset (sentence1, sentence2, score).",
        flag="--finetune-sts",
        metavar=FILE,
    )
    order: tuple[Skill, ...] = option(
        SKILLS, "Order of the trainings.", flag="--finetune-order", metavar="SKILLS", commas=True
    )
    limit: int | None = option(
        None, "At most this many examples of each file, spread over it.", flag="--finetune-limit", minimum=20
    )
    epochs: float = option(1.0, "Passes through the examples of a skill.", flag="--finetune-epochs", above=0)
    learning_rate: float = option(4e-5, "Its peak learning rate.", flag="--finetune-learning-rate", above=0)
    batch_size: int = option(32, "Examples of a step.", flag="--finetune-batch-size", minimum=2)
    # The teacher's vectors of these texts stay what the student should give.
    anchors: int = option(
        16, "Texts of each step that keep the vectors they were distilled to.", flag="--finetune-anchors", minimum=0
    )
    anchor_weight: float = option(
        1.0,
        "Weight of these texts beside the loss of a skill at its start; it falls to an eighth.",
        flag="--finetune-anchor-weight",
        minimum=0,
    )
    shares: tuple[float, ...] = option(
        (0.25, 0.5, 0.75, 1.0),
        "Shares of what a training changed in the weights that are tried.",
        flag="--finetune-shares",
        metavar="SHARES",
        above=0,
        maximum=1,
        commas=True,
    )
    matryoshka: tuple[int, ...] = option(
        (),
        "Train leading parts of the vector too, e.g. 256,128,64.",
        flag="--finetune-matryoshka",
        metavar="DIMS",
        minimum=1,
        commas=True,
    )
    micro_batch_tokens: int | None = option(
        None,
        "Tokens in memory at once; a larger step is computed in parts, with the same result.",
        flag="--finetune-micro-batch-tokens",
        minimum=1,
        unset="a whole step, less where memory does not suffice",
        neutral=True,
    )

    @property
    def is_asked(self) -> bool:
        """Whether there is something to train on."""
        return bool(self.nli or self.retrieval or self.paragraphs or self.sts)

    def _check(self) -> None:
        if len(set(self.order)) < len(self.order):
            raise UsageError(f"--finetune-order {','.join(self.order)} names a skill twice.")
        asked = {"nli": self.nli, "retrieval": self.retrieval or self.paragraphs, "sts": self.sts}
        if missing := [skill for skill in SKILLS if asked[skill] and skill not in self.order]:
            raise UsageError(
                f"--finetune-order {','.join(self.order)} leaves out {missing[0]}, for which there is data. Name it, "
                "or leave the data out."
            )
