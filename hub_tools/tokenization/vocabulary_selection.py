"""Which tokens go and which come, for BPE and Unigram: an exchange that ends where giving and taking cost the same.

Every token has a price in one unit, tokens of running text, each language counted against its own text:

    sum over languages of  weight x tokens of the text / tokens of the text under the teacher's vocabulary

Giving up a teacher's token costs the further tokens that its parts are; a learned one saves one token wherever its two
parts stood side by side. Costs rise along the order of removal, gains fall along the order of learning, so the sum is
smallest where the next removal costs more than the next learned token saves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.errors import UserError
from hub_tools.core.logging import bar, log
from hub_tools.tokenization.bpe import Bpe
from hub_tools.tokenization.bpe_merges import Merge, learn_merges
from hub_tools.tokenization.pretokenization import (
    WordCounts,
    model_only_tokenizer,
    reachable_tokens,
    segment,
)
from hub_tools.tokenization.prompts import PromptPieces
from hub_tools.tokenization.tokenizer_json import TokenizerSpec, read_model_vocab
from hub_tools.tokenization.unigram import Unigram
from hub_tools.tokenization.wordpiece_selection import (
    VocabularyPlan,
    frequent_characters,
    token_frequency,
    tokens_by_language,
    too_small,
)

# Learning depends on what was given up before: the balance is computed again until it moves by less than a hundredth of
# the vocabulary, and this many times at most.
_NEAR, _ROUNDS = 0.01, 4
_FIRST_SHARE = 0.3

SubwordModel = Bpe | Unigram


def subword_model(tokenizer: TokenizerSpec, target: WordCounts | None = None) -> SubwordModel:
    """Return a tokenizer's model as data; `target` is needed only to learn pieces, see `Unigram`."""
    return Bpe(tokenizer.spec) if tokenizer.family == "BPE" else Unigram(tokenizer.spec, target)


@dataclass(frozen=True, kw_only=True)
class SelectionState:
    """What stays the same while the balance is searched for."""

    teacher: SubwordModel
    teacher_tokens: list[str]  # in the order of their ids
    removal_order: list[tuple[str, float]]  # those that can go, each with its cost
    characters: list[str]  # new ones, which are added in any case
    words: WordCounts  # of the targets together
    price: float  # what a token of these words costs
    prices: Mapping[str, float]  # what a token of each language's text costs
    size: int  # of the student's model
    outside: int  # special tokens that are added to it
    needed: Set[str]  # characters that have to stay
    prompts: PromptPieces  # which no learned token may touch
    refused: Set[str] = frozenset()  # must not be learned

    def sized(self, vocab_size: int) -> SelectionState:
        """Return the same for another size of the vocabulary."""
        return replace(self, size=vocab_size - self.outside)

    @property
    def room(self) -> int:
        """Most tokens that can be learned."""
        return self.size - len(self.characters) - (len(self.teacher_tokens) - len(self.removal_order))

    @property
    def surplus(self) -> int:
        """How many of the teacher's tokens have to go though nothing is learned; negative if all fit."""
        return len(self.teacher_tokens) + len(self.characters) - self.size

    def kept(self, learned: int) -> list[str]:
        """Return the teacher's tokens that stay when so many are learned."""
        removed = {token for token, _ in self.removal_order[: max(learned + self.surplus, 0)]}
        return [token for token in self.teacher_tokens if token not in removed]

    def learn(self, kept: list[str]) -> Iterator[Merge]:
        """Learn merges over the segmentation that the kept tokens give."""
        tokenizer = model_only_tokenizer(self.teacher.build(kept, self.characters, []))
        tokens = {token_id: token for token, token_id in tokenizer.get_vocab().items()}
        return learn_merges(segment(tokenizer, self.words.words), self.words.counts, tokens, self._allowed)

    def _allowed(self, left: str, right: str) -> bool:
        token = left + right
        return token not in self.refused and self.teacher.allowed(left, right) and not self.prompts.touched_by(token)

    def find_balance(self, learned: int, *, search: bool = True) -> tuple[int, list[Merge]]:
        """Learn after room was made for so many, until the next token saves less than its room costs.

        For example, if the teacher's tokens fill the vocabulary (surplus 0), the cheapest ones cost 1, 4 and 9 to
        remove, and the merges save 8, 5 and 3: the first is worth it (8 > 1), the second too (5 > 4), the third is not
        (3 < 9), so the balance is 2 tokens. With a surplus of 1 the token that costs 1 goes in any case, and the merges
        are compared with 4 and 9: the balance is 1.

        Returns how many new tokens came before the balance, and the merges with `learned` of them or all there are.
        Without `search` these merges are all that is learned, and the balance is `learned`.
        """
        merges: list[Merge] = []
        balance, new, pending = -1 if search else learned, 0, 0
        progress = bar("learning tokens", None if search else learned, " tokens", is_part=True)
        for merge in self.learn(self.kept(learned)):
            # Merges into tokens that exist take no room: what they save counts for the next new token.
            pending += merge.times
            if merge.is_new and balance < 0 and new >= -self.surplus:
                # One more learned token pushes out the next one in the order of removal.
                place = new + self.surplus
                is_full = place >= len(self.removal_order)
                if is_full or pending * self.price < self.removal_order[place][1]:
                    balance = new
            if balance >= 0 and new >= learned:
                break
            if new < learned:
                merges.append(merge)
            if merge.is_new:
                new, pending = new + 1, 0
                progress.update()
        progress.close()
        return (new if balance < 0 else balance), merges


def selection_state(
    teacher: SubwordModel,
    word_counts: Mapping[str, WordCounts],
    counts: Mapping[str, NDArray[np.int64]],
    *,
    weights: Mapping[str, float],
    targets: tuple[str, ...],
    words: WordCounts,
    fixed: set[str],
    needed: Set[str],
    prompts: PromptPieces,
    vocab_size: int,
) -> SelectionState:
    """Return what the choice of exactly `vocab_size` tokens starts from, however many of them are learned.

    The `fixed` tokens stay, those of `prompts` among them, and the `needed` characters. `word_counts` are the words of
    each language under the student's normalizer, `counts` how often they have each of the teacher's tokens, and `words`
    those of the targets as of one (`join_words`).
    """
    frequency = token_frequency(teacher.vocab, counts, weights)
    prices = {lang: weights[lang] / max(int(counts[lang].sum()), 1) for lang in word_counts}
    outside = len(fixed - teacher.vocab.keys())
    return SelectionState(
        teacher=teacher,
        teacher_tokens=sorted(teacher.vocab, key=teacher.vocab.__getitem__),
        removal_order=teacher.removal_order(frequency, fixed | needed | teacher.white),
        characters=_new_characters(teacher, [word_counts[lang] for lang in targets]),
        words=words,
        # They are counted as much as the target with most tokens has.
        price=min(prices[lang] for lang in targets),
        prices=prices,
        size=vocab_size - outside,
        outside=outside,
        needed=needed & teacher.vocab.keys(),
        prompts=prompts,
    )


def select_vocabulary(
    state: SelectionState, word_counts: Mapping[str, WordCounts], exactly: int | None
) -> tuple[dict[str, Any], VocabularyPlan]:
    """Choose the tokens; return the student's `model`, which may lack special ones, and the plan.

    `exactly` is how many tokens to learn, new characters among them, and None leaves the balance to the text.

    Raises:
        UserError: the vocabulary is too small for what has to stay, or larger than the text supports.
    """
    if exactly == 0:
        state = replace(state, characters=[])
    _check_room(state)
    kept, merges, model = _select(state, None if exactly is None else exactly - len(state.characters))
    objective = _objective(state, model, word_counts)
    learned = [merge.token for merge in merges if merge.is_new]
    tokens = [*kept, *state.characters, *learned]
    plan = VocabularyPlan(
        tokens=tokens,
        kept=len(kept),
        split=round(len(kept) / len(tokens), 4),
        objective={"teacher": 1.0, "student": round(objective, 4)},
        characters=state.characters,
    )
    log.debug(
        "  %s tokens kept, %s learned (%s of them the teacher had too); objective %.3f of the teacher's",
        f"{len(kept):,}",
        f"{len(tokens) - len(kept):,}",
        f"{len(set(learned) & state.teacher.vocab.keys()):,}",
        objective,
    )
    return model, plan


def trimmed_model(state: SelectionState) -> dict[str, Any]:
    """Return the student's `model` where nothing is learned; a UserError if the vocabulary is too small for that."""
    state = replace(state, characters=[])
    _check_room(state)
    return state.teacher.build(state.kept(0), [], [])


def _check_room(state: SelectionState) -> None:
    if state.room < 0:
        size = state.size + state.outside
        raise UserError(too_small(size, size - state.room, len(state.needed) + len(state.characters)))


def _objective(state: SelectionState, model: dict[str, Any], word_counts: Mapping[str, WordCounts]) -> float:
    """Return what the text costs in tokens of a model, as the module states it; the teacher's is 1."""
    counts = tokens_by_language(model_only_tokenizer(model), read_model_vocab(model), word_counts)
    return sum(state.prices[lang] * int(own.sum()) for lang, own in counts.items())


def _select(state: SelectionState, exactly: int | None) -> tuple[list[str], list[Merge], dict[str, Any]]:
    # In the model every new token is reachable and all kept ones still are: those that break the rule are refused.
    while True:
        merges = _learn(state, exactly)
        exactly = sum(merge.is_new for merge in merges)
        kept = state.kept(exactly)
        model = state.teacher.build(kept, state.characters, merges)
        intruders = _intruders(state.teacher, model, kept, {merge.token for merge in merges if merge.is_new})
        if not intruders:
            return kept, merges, model
        log.debug(
            "  %s learned tokens refused: no text produced them, or not a kept one any more", f"{len(intruders):,}"
        )
        state = replace(state, refused=state.refused | intruders)


def _intruders(teacher: SubwordModel, model: dict[str, Any], kept: list[str], learned: set[str]) -> set[str]:
    """Return learned tokens that no text produces, and those that replace a kept token in its own string."""
    if not learned:
        return set()
    unreachable = learned - set(reachable_tokens(model, sorted(learned)))
    before = reachable_tokens(teacher.model, kept)
    lost = sorted(set(before) - set(reachable_tokens(model, before)))
    tokenizer = model_only_tokenizer(model)
    used = {token_id for token_ids in segment(tokenizer, lost) for token_id in token_ids}
    return unreachable | {token for token in learned if tokenizer.token_to_id(token) in used}


def _new_characters(teacher: SubwordModel, targets: Iterable[WordCounts]) -> list[str]:
    """Return characters of the target languages that get tokens of their own."""
    if teacher.byte_level:
        return []
    return sorted(frequent_characters(targets) - teacher.vocab.keys())


def _learn(state: SelectionState, exactly: int | None) -> list[Merge]:
    least, most = max(-state.surplus, 0), state.room
    learned = max(least, round(_FIRST_SHARE * most)) if exactly is None else exactly
    new = len(state.characters)
    if not least <= learned <= most:
        raise UserError(
            f"--learn {learned + new} is impossible here: between {least + new} and {most + new} tokens can be "
            "learned, so that what has to stay does and the vocabulary has the size asked for."
        )
    if exactly == 0:
        return []
    attempt = 0
    while True:
        balance, merges = state.find_balance(learned, search=exactly is None)
        available = sum(merge.is_new for merge in merges)
        if available < least:
            most = state.size - least + available + state.outside
            raise UserError(
                f"--vocab-size is larger than what the text supports: the teacher has {len(state.teacher_tokens)} "
                f"tokens and the text {available} more. Give {most} or less, or more text."
            )
        # After the last round as many are learned as the text has: the teacher's tokens fill the rest.
        follows_balance = exactly is None and attempt < _ROUNDS
        if available == learned and not (follows_balance and abs(balance - learned) > _NEAR * state.size):
            return merges
        learned = balance if follows_balance else available
        attempt += 1
