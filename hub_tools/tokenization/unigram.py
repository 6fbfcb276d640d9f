"""Unigram language models (XLM-R and its children: e5, bge-m3, gte, paraphrase-multilingual; Kudo 2018).

A text is cut into the pieces with the highest sum of log-probabilities. So giving up a piece changes nothing for a
text whose best cut does without it, and any set of pieces is consistent. What has to be right is the score of a new
piece: as high as its frequency makes it on the teacher's own scale, and above the best cut into other pieces.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from hub_tools.core.logging import bar
from hub_tools.tokenization.bpe import BYTE_TOKENS, joins_letters
from hub_tools.tokenization.bpe_merges import Merge
from hub_tools.tokenization.pretokenization import (
    WordCounts,
    model_only_tokenizer,
    reachable_tokens,
    token_counts,
    white_tokens,
)

# A new piece is at least this much more probable (in nats) than its best cut.
_MARGIN = 1e-3
# Scores that were moved may be in the way of others: they settle after a few rounds.
_ROUNDS = 20
# Pieces seen less often say nothing about the teacher's scale.
_CALIBRATION_COUNT = 20


class Unigram:
    """A Unigram model as data, of the content of tokenizer.json; the words of `target` scale new pieces' scores."""

    byte_level = False
    # Whether a learned piece may consist of two others.
    allowed = staticmethod(joins_letters)

    def __init__(self, spec: Mapping[str, Any], target: WordCounts | None = None) -> None:
        self.target = target
        self.model: dict[str, Any] = dict(spec["model"])
        self.scores: dict[str, float] = {piece: float(score) for piece, score in self.model["vocab"]}
        self.vocab: dict[str, int] = {piece: number for number, piece in enumerate(self.scores)}
        unk_id = self.model.get("unk_id")
        self.unk_token: str | None = None if unk_id is None else self.model["vocab"][unk_id][0]
        # They stay whether the corpus has them or not.
        self.white = white_tokens(self.scores)
        self._longest = max(map(len, self.scores))
        # Whether a character that is no piece is read as bytes.
        self._reads_bytes = bool(self.model.get("byte_fallback"))

    @cached_property
    def atoms(self) -> set[str]:
        """Pieces that no text may lose: the unknown piece and the bytes."""
        return {*(BYTE_TOKENS if self._reads_bytes else ()), self.unk_token or ""} & self.scores.keys()

    def best_cut(self, text: str, scores: Mapping[str, float]) -> tuple[float, list[str]]:
        """Return log-probability and pieces of the best cut of a string into others than itself (Viterbi).

        Minus infinity and nothing if there is none.
        """
        best: list[tuple[float, int]] = [(0.0, 0)]
        for end in range(1, len(text) + 1):
            best_here = (-math.inf, 0)
            for start in range(max(0, end - self._longest), end):
                if end - start == len(text):
                    continue
                score = scores.get(text[start:end])
                if score is not None and best[start][0] + score > best_here[0]:
                    best_here = (best[start][0] + score, start)
            best.append(best_here)
        if best[-1][0] == -math.inf:
            return -math.inf, []
        pieces, end = [], len(text)
        while end:
            start = best[end][1]
            pieces.append(text[start:end])
            end = start
        return best[-1][0], pieces[::-1]

    def removal_order(self, frequency: Mapping[str, float], fixed: set[str]) -> list[tuple[str, float]]:
        """Return pieces in the order in which they can be given up, each with its cost, as `Bpe.removal_order` does.

        Its best cut into the pieces that are left replaces a piece, so their frequency grows by its own. Without a cut
        its characters do, as bytes or as unknown pieces; no piece goes that is the last one with a `fixed` character.
        """
        weight = {piece: frequency.get(piece, 0.0) for piece in self.scores}
        # Special pieces are part of the vocabulary, but of no text.
        special = {piece for piece in fixed if self.scores.get(piece) == 0.0} | {self.unk_token or ""}
        left = {piece: score for piece, score in self.scores.items() if piece not in special}
        stay = fixed | self.atoms
        heap = [
            # Of equally dear ones characters go last.
            (weight[piece], len(piece) == 1, -self.vocab[piece], piece)
            for piece in self.scores
            if piece not in stay
        ]
        heapq.heapify(heap)
        order: list[tuple[str, float]] = []
        cuts: dict[str, list[str]] = {}
        progress = bar("pricing tokens", len(heap), " tokens", is_part=True)
        while heap:
            least, is_character, rank, piece = heapq.heappop(heap)
            if not weight[piece] and left.keys() >= {*piece}:
                cuts[piece] = [*piece]  # nothing comes of an unused piece, however it is cut
            elif not all(part in left for part in cuts.get(piece, [""])):  # else its best cut is still the best one
                cuts[piece] = self.best_cut(piece, left)[1]
            cut = cuts[piece]
            cost = weight[piece] * max(len(cut or (piece.encode() if self._reads_bytes else piece)) - 1, 1)
            if cost > least:  # costs only grow: it comes up again when the cheaper ones are gone
                heapq.heappush(heap, (cost, is_character, rank, piece))
                continue
            progress.update()
            if not cut and not self._reads_bytes and any(c in stay and c not in left for c in piece):
                continue
            order.append((piece, cost))
            del left[piece]
            for part in cut:
                weight[part] += weight[piece]
        progress.close()
        return order

    def build(self, kept: Iterable[str], characters: Iterable[str], merges: Iterable[Merge]) -> dict[str, Any]:
        """Return the model of kept pieces of the teacher, in the order of their new ids, and new ones.

        New characters get the teacher's lowest score, as its own rarest do; `_scale` says what learned pieces get.
        """
        scores = {piece: self.scores[piece] for piece in kept}
        lowest = min(self.scores.values())
        scores |= dict.fromkeys((c for c in characters if c not in scores), lowest)
        learned = [merge for merge in merges if merge.is_new]
        if learned:
            for merge in learned:
                by_parts = scores[merge.left] + scores[merge.right]
                scores[merge.token] = max(self._scale + math.log(merge.times), by_parts + _MARGIN)
            self._settle(scores, {merge.token for merge in learned})
        return self._with(scores)

    @cached_property
    def _scale(self) -> float:
        """The score, on the teacher's scale, of a piece seen once in the target's text.

        The teacher's scores are log-probabilities in its own mixture of languages: how often the target's text uses the
        teacher's pieces says how large the target's share in that mixture was.

        For example, three pieces with the scores -6.0, -7.0 and -9.5 are seen 1000, 400 and 20 times in the target's
        text: score - log(count) is -12.9, -13.0 and -12.5. The median -12.9 is the score of a piece seen once, so a
        new piece seen 50 times gets -12.9 + log(50) = -9.0.
        """
        if self.target is None:
            return min(self.scores.values())
        counts = token_counts(model_only_tokenizer(self.model), self.target, len(self.scores)).tolist()
        known = [(score, n) for (piece, score), n in zip(self.scores.items(), counts, strict=True) if len(piece) > 1]
        offsets = [score - math.log(n) for score, n in known if score < 0 and n >= _CALIBRATION_COUNT]
        return float(np.median(offsets)) if offsets else -math.log(max(sum(counts), 1))

    def _settle(self, scores: dict[str, float], learned: set[str]) -> None:
        """Move new scores until every new piece wins over its best cut, and no teacher's piece loses to new ones."""
        pieces = learned | (self._reached_by_teacher & scores.keys())
        for _ in range(_ROUNDS):
            beaten = pieces - set(reachable_tokens(self._with(scores), sorted(pieces)))
            if not beaten:
                return
            for piece in sorted(beaten):
                rival, cut = self.best_cut(piece, scores)
                if piece in learned:
                    scores[piece] = max(scores[piece], rival + _MARGIN)
                elif rival > scores[piece]:
                    scores[next(part for part in cut if part in learned)] -= rival - scores[piece] + _MARGIN

    @cached_property
    def _reached_by_teacher(self) -> set[str]:
        return set(reachable_tokens(self.model, list(self.scores)))

    def _with(self, scores: Mapping[str, float]) -> dict[str, Any]:
        unk_id = next((number for number, piece in enumerate(scores) if piece == self.unk_token), None)
        return {**self.model, "vocab": [[piece, score] for piece, score in scores.items()], "unk_id": unk_id}
