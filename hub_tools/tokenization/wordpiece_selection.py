"""The plan of a student's vocabulary, and how it is made for WordPiece: exactly V tokens, chosen from counts.

The needed characters stay, in both positions, so that no text of them that the teacher could read becomes unknown: in
a word of such characters longest-match segmentation never gets stuck. The rest of the room is divided between the
teacher's tokens, most used first, and the target languages', most useful first, at the split that minimises the sum
over languages that `vocabulary_selection` states.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hub_tools.core.errors import UserError
from hub_tools.core.logging import bar, log
from hub_tools.tokenization.pretokenization import WordCounts, character_counts, segment, token_counts
from hub_tools.tokenization.prompts import PromptPieces
from hub_tools.tokenization.wordpiece import PREFIX, segmenter, word_lengths

# Shares of the free room given to the teacher's tokens that are tried, and how far from the best ones around it.
_SPLITS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_STEPS = (0.1, 0.05, 0.025)
# A character of a target language gets tokens of its own when it was seen this often.
CHARACTER_COUNT = 20
# Longest-match segmentation uses tokens otherwise than the merges that learned them; unused ones are
# replaced by the next candidates this many times.
_ROUNDS = 4
# The split is judged by the words that make up nearly all of the running text.
_JUDGED_WORDS = 10_000


@dataclass(frozen=True, kw_only=True)
class VocabularyPlan:
    """The student's vocabulary."""

    tokens: list[str]  # in order of their ids: the teacher's in its order, then the new ones
    kept: int  # how many of them the teacher has
    split: float  # share of the free room given to the teacher's tokens
    objective: dict[str, float]  # its value at each split that was tried
    characters: list[str]  # new ones


def tokens_by_language(
    tokenizer: Tokenizer, vocab: Mapping[str, int], word_counts: Mapping[str, WordCounts]
) -> dict[str, NDArray[np.int64]]:
    """Count the tokens of each language's text by id, int64, shape (highest id + 1 or more,)."""
    size = max(vocab.values()) + 1
    with bar(
        "counting tokens", sum(len(words.words) for words in word_counts.values()), " words", is_part=True
    ) as progress:
        return {lang: token_counts(tokenizer, words, size, progress) for lang, words in word_counts.items()}


def token_frequency(
    vocab: Mapping[str, int], counts: Mapping[str, NDArray[np.int64]], weights: Mapping[str, float]
) -> dict[str, float]:
    """Return the weighted frequency of each token in the languages of `weights`, from counts by language."""
    shares = [weight * counts[lang] / max(counts[lang].sum(), 1) for lang, weight in weights.items()]
    frequency = np.sum(shares, axis=0)
    return {token: float(frequency[token_id]) for token, token_id in vocab.items()}


@dataclass(frozen=True, kw_only=True)
class SelectionInput:
    """What a vocabulary is selected from."""

    teacher_vocab: Mapping[str, int]
    unk_token: str
    word_counts: Mapping[str, WordCounts]  # language -> its words, under the student's normalizer
    token_counts: Mapping[str, NDArray[np.int64]]  # language -> how often its words have each of the teacher's tokens
    targets: tuple[str, ...]
    words: WordCounts  # of the targets together, each as much as the others
    weights: Mapping[str, float]  # of the languages
    needed: Set[str]  # characters that must not be lost
    placeholders: Set[str] = frozenset()  # the teacher's tokens that no text uses; they go first
    prompts: PromptPieces  # which no learned token may touch


@dataclass(frozen=True, kw_only=True)
class _Candidates:
    """Tokens that may be in the vocabulary; `fill` chooses exactly as many as there is room for."""

    fixed: set[str]
    ranked: list[str]
    learned: list[str]
    room: int

    def fill(self, share: float) -> set[str]:
        """Return the fixed tokens and `room` more: the teacher's share, then learned ones, then the teacher's again."""
        first = round(share * self.room)
        order = dict.fromkeys((*self.ranked[:first], *self.learned, *self.ranked[first:]))
        return self.fixed | set(list(order)[: self.room])

    def without(self, unused: set[str]) -> _Candidates:
        return replace(self, learned=[token for token in self.learned if token not in unused])


def too_small(vocab_size: int, least: int, characters: int) -> str:
    """Return what is said of a vocabulary without room for the tokens that have to stay."""
    return (
        f"--vocab-size {vocab_size} is too small: {least} tokens have to stay, of special ones, prompts, bytes, white "
        f"space and {characters} characters (what the text is written with; with --keep-characters all there are). "
        f"Give at least {least}."
    )


def select_wordpiece_vocabulary(
    selection: SelectionInput,
    *,
    special_tokens: list[str],
    vocab_size: int,
    letters: tuple[str, ...],
    learn: Callable[[int], list[str]],
    exactly: int | None = None,
) -> VocabularyPlan:
    """Choose exactly `vocab_size` tokens.

    `letters` of the targets need tokens however rare; `learn` gives that many tokens of the target languages, most
    useful first; `exactly` is how many tokens to learn, and None leaves it to the text.

    Raises:
        UserError: V is too small for specials and characters, or larger than the text supports.
    """
    teacher_tokens = sorted(selection.teacher_vocab, key=selection.teacher_vocab.__getitem__)
    characters = _new_characters(selection, letters) if exactly != 0 else []
    both_forms = [form for c in characters for form in (c, PREFIX + c)]
    fixed = _fixed(selection, special_tokens, both_forms, vocab_size)
    room = vocab_size - len(fixed)
    # Where nothing is learned, the target has to do with what is kept for it.
    ranked = [t for t in _rank_kept(selection, for_targets=exactly == 0) if t not in fixed]
    # Tokens asked for by number are new ones; else one of the teacher's may come back in another place.
    theirs = selection.teacher_vocab.keys()
    known = fixed if exactly is None else fixed | theirs
    touched = selection.prompts.touched_by
    proposed = learn(room + len(known)) if exactly != 0 else []
    learned = [t for t in proposed if t not in known and (t in theirs or not touched(t))]
    available = len(fixed) + len({*ranked, *learned})
    if vocab_size > available:
        raise UserError(
            f"--vocab-size {vocab_size} is larger than what the text supports: the teacher has {len(teacher_tokens)} "
            f"tokens and the text in {' and '.join(selection.targets)} {available - len(teacher_tokens)} more. Give "
            f"{available} or less, or more text."
        )
    candidates = _Candidates(fixed=fixed, ranked=ranked, learned=learned, room=room)
    objective = _objective(selection)
    if exactly is None:
        least, tried = 0, _try_splits(candidates, objective)
    else:
        least = exactly - len(fixed - selection.teacher_vocab.keys())
        share = _share(candidates, exactly, least)
        tried = {share: objective(candidates.fill(share))}
    split = min(tried, key=tried.__getitem__)
    chosen = _fill_with_used(candidates, selection, split, least)
    kept = [t for t in teacher_tokens if t in chosen]
    added = [t for t in dict.fromkeys((*both_forms, *learned)) if t in chosen and t not in selection.teacher_vocab]
    if len(chosen) < vocab_size or (exactly is not None and len(added) < exactly):
        raise UserError(
            f"The text supports only {len(added)} new tokens that some word uses, in a vocabulary of {len(chosen)}: "
            "give a smaller --learn or --vocab-size, or more text."
        )
    shown = {f"{share:.4g}": round(value, 4) for share, value in sorted(tried.items())}
    listed = ", ".join(f"{share}: {value}" for share, value in shown.items())
    log.debug("  %s tokens kept, %s added; objective by share kept: %s", f"{len(kept):,}", f"{len(added):,}", listed)
    return VocabularyPlan(tokens=kept + added, kept=len(kept), split=split, objective=shown, characters=characters)


def trimmed_pieces(selection: SelectionInput, special_tokens: list[str], vocab_size: int) -> list[str]:
    """Return the tokens of a vocabulary where nothing is learned; a UserError if it is too small for that."""
    fixed = _fixed(selection, special_tokens, [], vocab_size)
    ranked = [token for token in _rank_kept(selection, for_targets=True) if token not in fixed]
    chosen = {*fixed, *ranked[: vocab_size - len(fixed)]}
    return [
        token for token in sorted(selection.teacher_vocab, key=selection.teacher_vocab.__getitem__) if token in chosen
    ]


def _fixed(selection: SelectionInput, special_tokens: list[str], characters: list[str], vocab_size: int) -> set[str]:
    """Return the tokens that are in the vocabulary in any case, new `characters` in both forms among them."""
    single = [token for token in selection.teacher_vocab if token.removeprefix(PREFIX) in selection.needed]
    fixed = {*special_tokens, selection.unk_token, *characters, *single}
    if len(fixed) > vocab_size:
        count = len({token.removeprefix(PREFIX) for token in (*single, *characters)})
        raise UserError(too_small(vocab_size, len(fixed), count))
    return fixed


def _try_splits(candidates: _Candidates, objective: Callable[[set[str]], float]) -> dict[float, float]:
    tried: dict[float, float] = {}
    with bar("trying splits", len(_SPLITS) + 2 * len(_STEPS), " splits", is_part=True) as progress:

        def try_out(*shares: float) -> None:
            for share in shares:
                if 0 <= share <= 1:
                    tried[share] = objective(candidates.fill(share))
                progress.update()

        try_out(*_SPLITS)
        for step in _STEPS:
            best = min(tried, key=tried.__getitem__)
            try_out(round(best - step, 3), round(best + step, 3))
    return tried


def _share(candidates: _Candidates, exactly: int, learned: int) -> float:
    # Of `exactly` new tokens, so many are `learned` and the others are characters.
    most = min(candidates.room, len(candidates.learned))
    if not 0 <= learned <= most:
        characters = exactly - learned
        raise UserError(
            f"--learn {exactly} is impossible here: between {characters} and {characters + most} tokens can be learned."
        )
    return (candidates.room - learned) / max(candidates.room, 1)


def _new_characters(selection: SelectionInput, letters: tuple[str, ...]) -> list[str]:
    """Return the characters of the target languages that the teacher lacks in either position."""
    seen = frequent_characters(selection.word_counts[lang] for lang in selection.targets)
    frequent = sorted(seen.union(letters))
    return [c for c in frequent if c not in selection.teacher_vocab or PREFIX + c not in selection.teacher_vocab]


def frequent_characters(languages: Iterable[WordCounts]) -> set[str]:
    """Return the characters that are frequent enough in one of the languages to get tokens of their own."""
    counted = map(character_counts, languages)
    return {c for counts in counted for c, n in counts.items() if n >= CHARACTER_COUNT}


def _rank_kept(selection: SelectionInput, *, for_targets: bool) -> list[str]:
    """Rank the teacher's tokens by balanced frequency, unused characters before other unused tokens.

    `for_targets` or not, that of a sole target does not count in the second case, since tokens are learned from it. Of
    several targets the teacher may know one well, and its tokens of that are as good.
    """
    ids = selection.teacher_vocab
    others = {lang: weight for lang, weight in selection.weights.items() if (lang,) != selection.targets}
    frequency = token_frequency(
        ids, selection.token_counts, selection.weights if for_targets else others or selection.weights
    )

    def rank(token: str) -> tuple[bool, float, bool, int]:
        return token in selection.placeholders, -frequency[token], len(token.removeprefix(PREFIX)) > 1, ids[token]

    return sorted(ids, key=rank)


def _objective(selection: SelectionInput) -> Callable[[set[str]], float]:
    """Return the weighted sum over languages, as a function of tokens: one sum over distinct words."""
    before = segmenter(selection.teacher_vocab, selection.unk_token)
    cost_of: dict[str, float] = defaultdict(float)
    for lang, table in selection.word_counts.items():
        words = table.words[:_JUDGED_WORDS]
        lengths = word_lengths(before, words, selection.unk_token)
        per_token = selection.weights[lang] / max(int(lengths @ table.counts[:_JUDGED_WORDS]), 1)
        for word, count in zip(words, table.counts.tolist(), strict=False):
            cost_of[word] += per_token * count
    words, costs = list(cost_of), np.fromiter(cost_of.values(), dtype=np.float64)

    def value(tokens: set[str]) -> float:
        after = segmenter(_numbered(tokens), selection.unk_token)
        return float(word_lengths(after, words, selection.unk_token) @ costs)

    return value


def _fill_with_used(candidates: _Candidates, selection: SelectionInput, split: float, least: int) -> set[str]:
    # Learned tokens that the targets' words never use, or that no word can, are replaced. At least `least` learned
    # ones are left: of the unused ones, those that some word can use are spared then.
    chosen = candidates.fill(split)
    first_choice = candidates.fixed | set(candidates.ranked[: round(split * candidates.room)])
    for _ in range(_ROUNDS):
        tokenizer = segmenter(_numbered(chosen), selection.unk_token)
        counts = token_counts(tokenizer, selection.words)
        unused = {token for token, token_id in _numbered(chosen).items() if not counts[token_id]} - first_choice
        spare = max(len(candidates.learned) - least, 0)
        dropped = set([token for token in reversed(candidates.learned) if token in unused][:spare])
        if not dropped or len(candidates.without(dropped).fill(split)) < len(chosen):
            break  # nothing is left to put in their place
        candidates = candidates.without(dropped)
        chosen = candidates.fill(split)
    while True:
        learned = sorted(set(candidates.learned) & chosen - first_choice)
        unreachable = set(learned) - reachable_pieces(learned, _numbered(chosen), selection.unk_token)
        if not unreachable:
            return chosen
        candidates = candidates.without(unreachable)
        chosen = candidates.fill(split)


def _numbered(tokens: set[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(sorted(tokens))}


def reachable_pieces(tokens: list[str], vocab: Mapping[str, int], unk_token: str) -> set[str]:
    """Return those of the tokens that some word produces.

    A token that begins a word is produced by itself. A continued one follows any character with which it
    forms no longer match, so it is enough to find one such character.
    """
    tokenizer = segmenter(vocab, unk_token)
    starts = [token for token in vocab if len(token) == 1]
    pending = list(tokens)
    for start in ("", *starts):
        words = [t.removeprefix(PREFIX) if not t.startswith(PREFIX) else start + t[len(PREFIX) :] for t in pending]
        pending = [t for t, ids in zip(pending, segment(tokenizer, words), strict=True) if vocab[t] not in ids]
        if not pending:
            break
    return set(tokens) - set(pending)
