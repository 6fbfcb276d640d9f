"""Which tokens go and which come, for BPE and Unigram: an exchange that ends where giving and taking cost the same.

Every token has a price in one unit, tokens of running text, each language counted against its own text:

    sum over languages of  weight x tokens of the text / tokens of the text under the teacher's vocabulary

Giving up a teacher's token costs what its parts need more; a learned one saves one token wherever its two parts stood
side by side. Costs rise along the order of removal, gains fall along the order of learning, so the sum is smallest
where the next removal costs more than the next learned token saves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from tokenizers import Tokenizer

from hub_tools.core.errors import UserError
from hub_tools.core.logging import log
from hub_tools.tokenization.bpe_merges import Merge, learn_merges
from hub_tools.tokenization.pretokenization import (
    WordCounts,
    characters_of,
    model_only_tokenizer,
    segment,
    token_counts,
    total_tokens,
)
from hub_tools.tokenization.wordpiece_selection import CHARACTER_COUNT, Plan, language_weights

# Learning depends on what was given up before: the balance is sought anew until it moves by less than a hundredth of
# the vocabulary, and this many times at most.
_NEAR, _ROUNDS = 0.01, 4
# A character that the teacher has stays when some language's text has it at least twice.
_SEEN = 2
_FIRST_SHARE = 0.3


class Family(Protocol):
    """What the exchange asks of a kind of model; see `bpe.Bpe` and `unigram.Unigram`."""

    model: dict[str, Any]
    vocabulary: dict[str, int]
    byte_level: bool

    @property
    def atoms(self) -> set[str]:
        """Tokens that no text may lose."""

    @property
    def white(self) -> set[str]:
        """Tokens that are white space only."""

    def removal_order(self, frequency: Mapping[str, float], fixed: set[str]) -> list[tuple[str, float]]:
        """Tokens in the order in which they can go, with costs that never fall."""

    def allowed(self, left: str, right: str) -> bool:
        """Whether a learned token may consist of two others."""

    def build(self, kept: Iterable[str], characters: Iterable[str], merges: Iterable[Merge]) -> dict[str, Any]:
        """The model with other tokens."""

    def reachable(self, model: Mapping[str, Any], tokens: list[str]) -> list[str]:
        """Those of the tokens that some text produces."""


@dataclass(frozen=True, kw_only=True)
class SelectionState:
    """What does not change while the balance is sought.

    Attributes:
        family: the teacher's model.
        tokens: the teacher's, in the order of their ids.
        order: what can go, in order, with costs.
        characters: new single characters, which come in any case.
        words: the target's.
        unit: what one token less in the target's text is worth.
        size: tokens of the student's model.
        refused: tokens that must not be learned.
    """

    family: Family
    tokens: list[str]
    order: list[tuple[str, float]]
    characters: list[str]
    words: WordCounts
    unit: float
    size: int
    refused: Set[str] = frozenset()

    @property
    def room(self) -> int:
        """Most tokens that can be learned."""
        return self.size - len(self.characters) - (len(self.tokens) - len(self.order))

    @property
    def surplus(self) -> int:
        """How many of the teacher's tokens have to go though nothing is learned; negative if all fit."""
        return len(self.tokens) + len(self.characters) - self.size

    def kept(self, learned: int) -> list[str]:
        """The teacher's tokens that stay when so many are learned."""
        gone = {token for token, _ in self.order[: max(learned + self.surplus, 0)]}
        return [token for token in self.tokens if token not in gone]

    def learn(self, kept: list[str]) -> Iterator[Merge]:
        """Learn over the segmentation that the kept tokens give."""
        bare = model_only_tokenizer(self.family.build(kept, self.characters, []))
        names = {number: token for token, number in bare.get_vocab().items()}
        ids = list(segment(bare, self.words.words))
        return learn_merges(ids, self.words.counts, names, self._allowed)

    def _allowed(self, left: str, right: str) -> bool:
        return left + right not in self.refused and self.family.allowed(left, right)

    def balance(self, learned: int) -> tuple[int, list[Merge]]:
        """Learn after room was made for so many, until the next token saves less than it pushes out.

        Returns:
            How many new tokens came before that, and the merges with `learned` of them (fewer if the text has no more).
        """
        merges: list[Merge] = []
        wanted, new, pending = -1, 0, 0
        for merge in self.learn(self.kept(learned)):
            pending += merge.times
            if merge.is_new and wanted < 0 and new >= -self.surplus:
                # One more learned token pushes out the next one in the order of removal.
                place = new + self.surplus
                if place >= len(self.order) or pending * self.unit < self.order[place][1]:
                    wanted = new
            if wanted >= 0 and new >= learned:
                break
            if new < learned:
                merges.append(merge)
            if merge.is_new:
                new, pending = new + 1, 0
        return (new if wanted < 0 else wanted), merges


def select_vocabulary(
    family: Family,
    tables: Mapping[str, WordCounts],
    *,
    target: str,
    fixed: set[str],
    size: int,
    exactly: int | None,
) -> tuple[dict[str, Any], Plan]:
    """Choose exactly `size` tokens and build the student's model.

    Args:
        family: the teacher's model.
        tables: word counts per language under the student's normalizer.
        target: the target language.
        fixed: special tokens, which stay.
        size: tokens of the student's model.
        exactly: how many tokens to learn, new characters among them; None leaves the balance to the text.

    Returns:
        The `model` of the student's tokenizer.json, and the plan.

    Raises:
        UserError: `size` is too small for what has to stay, or larger than the text supports.
    """
    teacher = model_only_tokenizer(family.model)
    weights = language_weights(list(tables), target)
    frequency, totals = _frequency(family, teacher, tables, weights)
    needed, new = _characters(family, tables, target)
    new = [] if exactly == 0 else new
    stay = (fixed | needed) & family.vocabulary.keys()
    market = SelectionState(
        family=family,
        tokens=sorted(family.vocabulary, key=family.vocabulary.__getitem__),
        order=family.removal_order(frequency, stay),
        characters=new,
        words=tables[target],
        unit=weights[target] / max(totals[target], 1),
        size=size,
    )
    if market.room < 0:
        least = size - market.room
        raise UserError(
            f"--vocab-size leaves {size} tokens besides special ones, but the characters and bytes that the text needs "
            f"are {least}. Give at least {least - size + 1000} more."
        )
    kept, merges, model = _select(market, None if exactly is None else exactly - len(new))
    objective = _objective(model, tables, weights, totals)
    relearned = {merge.token for merge in merges if merge.is_new} & family.vocabulary.keys()
    tokens = [*kept, *new, *(merge.token for merge in merges if merge.is_new)]
    plan = Plan(
        tokens=tokens,
        kept=len(kept),
        split=round(len(kept) / len(tokens), 4),
        objective={"teacher": 1.0, "student": round(objective, 4)},
        characters=new,
    )
    log.info(
        "  %s tokens kept, %s learned (%s of them the teacher had too); objective %.3f of the teacher's",
        f"{len(kept):,}",
        f"{len(tokens) - len(kept):,}",
        f"{len(relearned):,}",
        objective,
    )
    return model, plan


def _select(market: SelectionState, learn: int | None) -> tuple[list[str], list[Merge], dict[str, Any]]:
    """Tokens kept, merges learned and their model, in which every new token is reachable and all kept ones still are.

    That is looked at, token by token: what does not hold is refused and learned around.
    """
    while True:
        merges = _learn(market, learn)
        learn = sum(merge.is_new for merge in merges)
        kept = market.kept(learn)
        model = market.family.build(kept, market.characters, merges)
        intruders = _intruders(market.family, model, kept, {merge.token for merge in merges if merge.is_new})
        if not intruders:
            return kept, merges, model
        log.info(
            "  %s learned tokens refused: no text produced them, or not a kept one any more", f"{len(intruders):,}"
        )
        market = replace(market, refused=market.refused | intruders)


def _intruders(family: Family, model: dict[str, Any], kept: list[str], learned: set[str]) -> set[str]:
    """Learned tokens that no text produces, and those that stand where a kept token stood."""
    found = learned - set(family.reachable(model, sorted(learned)))
    before = family.reachable(family.model, kept)
    beaten = sorted(set(before) - set(family.reachable(model, before)))
    bare = model_only_tokenizer(model)
    used = {number for ids in segment(bare, beaten) for number in ids}
    return found | {token for token in learned if bare.token_to_id(token) in used}


def _frequency(
    family: Family, teacher: Tokenizer, tables: Mapping[str, WordCounts], weights: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, int]]:
    """The weighted frequency of each token, and the tokens of each language's text."""
    size = max(family.vocabulary.values()) + 1
    total = np.zeros(size)
    totals = {}
    for lang, table in tables.items():
        found = token_counts(teacher, table, size)
        totals[lang] = int(found.sum())
        total += weights[lang] * found / max(totals[lang], 1)
    return {token: float(total[number]) for token, number in family.vocabulary.items()}, totals


def _characters(family: Family, tables: Mapping[str, WordCounts], target: str) -> tuple[set[str], list[str]]:
    """Characters and white space that have to stay, and new characters for the target language."""
    if family.byte_level:
        return family.white, []
    seen = {lang: characters_of(table) for lang, table in tables.items()}
    needed = {c for counts in seen.values() for c, n in counts.items() if n >= _SEEN}
    return needed | family.white, sorted(
        c for c, n in seen[target].items() if n >= CHARACTER_COUNT and c not in family.vocabulary
    )


def _learn(market: SelectionState, learn: int | None) -> list[Merge]:
    """The merges at the balance, or as many as was asked for."""
    least, most = max(-market.surplus, 0), market.room
    learned = max(least, round(_FIRST_SHARE * most)) if learn is None else learn
    if not least <= learned <= most:
        raise UserError(
            f"--learn {learned} is impossible here: between {least} and {most} tokens can be learned, so that all "
            "characters stay and the vocabulary has the size asked for."
        )
    for _ in range(_ROUNDS):
        wanted, merges = market.balance(learned)
        found = sum(merge.is_new for merge in merges)
        if found < least:
            raise UserError(
                f"--vocab-size is larger than what the text supports: the teacher has {len(market.tokens)} tokens and "
                f"the text {found} more. Give {market.size - least + found} or less, or more text."
            )
        if found == learned and (learn is not None or abs(wanted - learned) <= _NEAR * market.size):
            return merges
        learned = wanted if learn is None else found
    # The text holds no more than this over any segmentation that was tried: the teacher's tokens fill the rest.
    return _exactly(market, learned)


def _exactly(market: SelectionState, learned: int) -> list[Merge]:
    while True:
        _, merges = market.balance(learned)
        found = sum(merge.is_new for merge in merges)
        if found == learned:
            return merges
        learned = found


def _objective(
    model: dict[str, Any], tables: Mapping[str, WordCounts], weights: Mapping[str, float], totals: Mapping[str, int]
) -> float:
    student = model_only_tokenizer(model)
    return sum(weights[lang] * total_tokens(student, table) / max(totals[lang], 1) for lang, table in tables.items())
