"""BPE, byte-level (Qwen, ModernBERT, Tekken) and with byte fallback (Gemma, Llama, Mistral v1).

A token is reachable when its own string, segmented alone, gives just the token. That is no sample but a proof, both
ways: merges inside a stretch of a word whose ends no merge crosses happen in the same order as in the stretch alone,
so a token that stands in any text also comes out of its own string.

Two things follow. Keeping a token together with the tokens of its *derivation* (the two parts of its last merge, their
parts, and so on) keeps it reachable, whatever else goes: the merges of its string are still the lowest-ranked ones at
each step. And merges appended after all kept ones, learned over the segmentation that the kept ones give, are reachable
for the same reason and take nothing from the kept.
"""

from __future__ import annotations

import heapq
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel

from hub_tools.core.errors import UserError
from hub_tools.tokenization.bpe_merges import LONGEST_TOKEN, Merge
from hub_tools.tokenization.pretokenization import SPACE, model_only_tokenizer, segment, white_tokens

_NEVER = 1 << 60


class Bpe:
    """A BPE model as data.

    Args:
        spec: the content of tokenizer.json.

    Raises:
        UserError: the model has a feature that the surgery does not handle.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.model: dict[str, Any] = dict(spec["model"])
        _refuse_unknown_features(self.model)
        self.vocabulary: dict[str, int] = self.model["vocab"]
        self.merges: list[tuple[str, str]] = [_pair(merge) for merge in self.model["merges"]]
        self.byte_level = "ByteLevel" in str(spec["pre_tokenizer"])
        self.unknown: str | None = self.model.get("unk_token")
        # Whole words that are tokens are taken without merges (tiktoken).
        self.takes_words = bool(self.model.get("ignore_merges"))

    @cached_property
    def atoms(self) -> set[str]:
        """Tokens that no text may lose: the 256 bytes in their alphabet, or as <0xNN>, and the unknown token."""
        whole = set(ByteLevel.alphabet()) if self.byte_level else {f"<0x{byte:02X}>" for byte in range(256)}
        return (whole | {self.unknown or ""}) & self.vocabulary.keys()

    @cached_property
    def white(self) -> set[str]:
        """Tokens that are white space only: code and poems need them, whether the corpus has them or not."""
        if not self.byte_level:
            return white_tokens(self.vocabulary)
        known = [token for token in self.vocabulary if BYTE_ALPHABET.issuperset(token)]
        return {token for token in known if byte_string(token).decode(errors="replace").isspace()}

    @property
    def reads_bytes(self) -> bool:
        """Whether a character that is no token is read as bytes, so that no text needs it."""
        return self.byte_level or bool(self.model.get("byte_fallback"))

    @cached_property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """What each reachable token would be without itself; () for a single symbol that nothing can replace.

        A token that is missing here cannot come out of any text.
        """
        tokens = list(self.vocabulary)
        plain = model_only_tokenizer({**self.model, "ignore_merges": False})
        ranks = {pair: rank for rank, pair in reversed(list(enumerate(self.merges)))}
        made_by: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for pair in ranks:
            made_by[pair[0] + pair[1]].append(pair)
        name = {number: token for token, number in self.vocabulary.items()}
        found: dict[str, tuple[str, ...]] = {}
        for token, ids in zip(tokens, segment(plain, tokens), strict=True):
            if ids == [self.vocabulary[token]]:
                pairs = made_by[token]
                found[token] = pairs[0] if len(pairs) == 1 else self._last_merge(token, ranks)
            elif self.takes_words and token not in self.atoms:
                found[token] = tuple(name[number] for number in ids)
        return found

    def _last_merge(self, token: str, ranks: Mapping[tuple[str, str], int]) -> tuple[str, ...]:
        parts = list(token)
        if len(parts) == 1:
            spelled = tuple(f"<0x{byte:02X}>" for byte in token.encode()) if not self.byte_level else ()
            return spelled if all(byte in self.vocabulary for byte in spelled) else ()
        while parts[2:]:  # until the last merge
            _, first = min((ranks.get(pair, _NEVER), place) for place, pair in enumerate(pairwise(parts)))
            parts[first : first + 2] = [parts[first] + parts[first + 1]]
        return tuple(parts)

    def removal_order(self, frequency: Mapping[str, float], fixed: set[str]) -> list[tuple[str, float]]:
        """Tokens in the order in which they can be given up, each with what it costs.

        Only a token that no other one is derived from can go; the cheapest of these goes first. In its place
        stand its parts, so their frequency grows by its own. The costs never fall.

        Args:
            frequency: of each token in running text, in any unit.
            fixed: tokens that stay, with their derivations.

        Returns:
            (token, cost in the unit of the frequency), tokens that no text produces first.
        """
        weight = {token: frequency.get(token, 0.0) for token in self.vocabulary}
        stay = fixed | self.atoms
        dead = [token for token in self.vocabulary if token not in self.parts and token not in stay]
        users: Counter[str] = Counter()
        for parts in self.parts.values():
            users.update(dict.fromkeys(parts, 1))
        rank = {token: -number for token, number in self.vocabulary.items()}
        free = [token for token in self.parts if self.parts[token] and token not in stay]
        # Of equally frequent ones the teacher's later ones go first: its order is one of frequency.
        heap = [(weight[token], rank[token], token) for token in free if not users[token]]
        heapq.heapify(heap)
        removable, order = set(free), [(token, 0.0) for token in dead]
        while heap:
            _, _, token = heapq.heappop(heap)
            parts = self.parts[token]
            order.append((token, weight[token] * (len(parts) - 1)))
            for part in parts:
                weight[part] += weight[token]
            for part in dict.fromkeys(parts):
                users[part] -= 1
                if not users[part] and part in removable:
                    heapq.heappush(heap, (weight[part], rank[part], part))
        return order

    def allowed(self, left: str, right: str) -> bool:
        """Whether a learned merge may join two tokens."""
        if not self.byte_level:
            return joins_letters(left, right)
        token = left + right
        return _characters_begun(token) <= LONGEST_TOKEN and _is_text_or_begins_a_character(token)

    def build(self, kept: Iterable[str], characters: Iterable[str], merges: Iterable[Merge]) -> dict[str, Any]:
        """The model with other tokens.

        Args:
            kept: tokens of the teacher, in the order of their new ids.
            characters: new single characters.
            merges: learned ones.
        """
        tokens = dict.fromkeys([*kept, *characters])
        pairs = [p for p in self.merges if p[0] in tokens and p[1] in tokens and p[0] + p[1] in tokens]
        for merge in merges:
            tokens.setdefault(merge.token)
            pairs.append((merge.left, merge.right))
        vocabulary = {token: number for number, token in enumerate(tokens)}
        return {**self.model, "vocab": vocabulary, "merges": [list(pair) for pair in pairs]}

    def reachable(self, model: Mapping[str, Any], tokens: list[str]) -> list[str]:
        """Those of the tokens that merges make of some text: their own string gives just them.

        Where whole words are taken without merges that would prove nothing, so it is looked at without.
        """
        ids = segment(model_only_tokenizer({**model, "ignore_merges": False}), tokens)
        return [token for token, found in zip(tokens, ids, strict=True) if found == [model["vocab"][token]]]


def _refuse_unknown_features(model: Mapping[str, Any]) -> None:
    for feature in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(feature):
            raise UserError(
                f"The teacher's tokenizer is a BPE model with {feature}={model[feature]!r}, which tokenizer surgery "
                "does not handle. Expected byte-level BPE or BPE with byte fallback; pass --tokenizer with a ready one."
            )


def _pair(merge: str | list[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def joins_letters(left: str, right: str) -> bool:
    """Whether two tokens are short enough and letters and marks only, the first with a space mark before or alone.

    Families that mark spaces have no pre-tokenizer that keeps punctuation and digits apart from words;
    SentencePiece's trainer does that while it learns, so it is done here too.
    """
    if len(left) + len(right) > LONGEST_TOKEN:
        return False
    if left == SPACE:
        return _all_letters(right)
    return _all_letters(left.removeprefix(SPACE)) and _all_letters(right)


def _all_letters(text: str) -> bool:
    return all(unicodedata.category(c)[0] in "LM" for c in text)


def byte_string(token: str) -> bytes:
    """The bytes that a token in the byte-level alphabet stands for."""
    return bytes(_BYTE_OF[character] for character in token)


def byte_alphabet(text: bytes) -> str:
    """The byte-level alphabet's characters for some bytes."""
    return "".join(_CHARACTER_OF[byte] for byte in text)


def _byte_of() -> dict[str, int]:
    # The alphabet of GPT-2: printable Latin-1 characters stand for themselves, the others are moved up in order.
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in own]
    return {chr(b): b for b in own} | {chr(256 + place): byte for place, byte in enumerate(moved)}


_BYTE_OF = _byte_of()
_CHARACTER_OF = {byte: character for character, byte in _BYTE_OF.items()}
BYTE_ALPHABET = frozenset(_BYTE_OF)


_FIRST_BYTES = BYTE_ALPHABET - {_CHARACTER_OF[byte] for byte in range(0x80, 0xC0)}


def _characters_begun(token: str) -> int:
    """How many characters begin in a token of the byte-level alphabet."""
    return sum(map(_FIRST_BYTES.__contains__, token))


def _is_text_or_begins_a_character(token: str) -> bool:
    """Whether bytes are whole characters, or the beginning of just one."""
    try:
        byte_string(token).decode()
    except UnicodeDecodeError as error:
        return error.start == 0 and error.reason == "unexpected end of data"
    return True
