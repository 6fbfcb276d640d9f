"""BPE, byte-level (Qwen, ModernBERT, Tekken) and with byte fallback (Gemma, Llama, Mistral v1).

A token is reachable when its own string, segmented alone, gives just the token. This proves it both ways: merges inside
a stretch of a word whose ends no merge crosses happen in the same order as in the stretch alone, so a token that occurs
in any text is also produced by its own string.

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

from hub_tools.core.errors import UserError
from hub_tools.tokenization.bpe_merges import LONGEST_TOKEN, Merge
from hub_tools.tokenization.pretokenization import SPACE, model_only_tokenizer, segment, white_tokens

# The 256 bytes as BPE with byte fallback writes them.
BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))


class Bpe:
    """A BPE model as data, of the content of tokenizer.json.

    Raises:
        UserError: the model has a feature that is not supported.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.model: dict[str, Any] = dict(spec["model"])
        for feature in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
            if self.model.get(feature):
                raise UserError(
                    f"The teacher's tokenizer is a BPE model with {feature}={self.model[feature]!r}, which cannot be "
                    "adapted. Expected byte-level BPE or BPE with byte fallback; pass --tokenizer with a ready one."
                )
        self.vocab: dict[str, int] = self.model["vocab"]
        self.merges: list[tuple[str, str]] = [_pair(merge) for merge in self.model["merges"]]
        self.byte_level = "ByteLevel" in str(spec["pre_tokenizer"])
        self.unk_token: str | None = self.model.get("unk_token")

    @cached_property
    def atoms(self) -> set[str]:
        """Tokens that no text may lose: the 256 bytes in their alphabet, or as <0xNN>, and the unknown token."""
        return {*(BYTE_ALPHABET if self.byte_level else BYTE_TOKENS), self.unk_token or ""} & self.vocab.keys()

    @cached_property
    def white(self) -> set[str]:
        """Tokens that are white space only: code and poems need them, whether the corpus has them or not."""
        if not self.byte_level:
            return white_tokens(self.vocab)
        in_bytes = [token for token in self.vocab if BYTE_ALPHABET.issuperset(token)]
        return {token for token in in_bytes if byte_string(token).decode(errors="replace").isspace()}

    @cached_property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Reachable token -> the tokens that replace it when it is gone; () for a symbol that nothing can replace.

        A character's are the bytes that spell it, or the unknown token.

        A token that is missing here cannot be produced by any text.
        """
        without_shortcut = model_only_tokenizer({**self.model, "ignore_merges": False})
        ranks = {pair: rank for rank, pair in reversed(list(enumerate(self.merges)))}
        made_by: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for pair in ranks:
            made_by[pair[0] + pair[1]].append(pair)
        token_of = {token_id: token for token, token_id in self.vocab.items()}
        parts: dict[str, tuple[str, ...]] = {}
        for token, token_ids in zip(self.vocab, segment(without_shortcut, self.vocab), strict=True):
            if token_ids == [self.vocab[token]]:
                pairs = made_by[token]
                parts[token] = pairs[0] if len(pairs) == 1 else self._last_merge(token, ranks)
            # Whole words that are tokens are taken without merges (tiktoken).
            elif self.model.get("ignore_merges") and token not in self.atoms:
                parts[token] = tuple(token_of[token_id] for token_id in token_ids)
        return parts

    def _last_merge(self, token: str, ranks: Mapping[tuple[str, str], int]) -> tuple[str, ...]:
        parts = list(token)
        if len(parts) == 1:
            return () if self.byte_level else self._spelled(token)
        while parts[2:]:  # until the last merge
            _, first = min((ranks.get(pair, len(self.merges)), place) for place, pair in enumerate(pairwise(parts)))
            parts[first : first + 2] = [parts[first] + parts[first + 1]]
        return tuple(parts)

    def _spelled(self, character: str) -> tuple[str, ...]:
        # What is read where a character has no token.
        by_bytes = self.model.get("byte_fallback")
        spelled = tuple(BYTE_TOKENS[byte] for byte in character.encode()) if by_bytes else (self.unk_token or "",)
        return spelled if self.vocab.keys() >= set(spelled) else ()

    def removal_order(self, frequency: Mapping[str, float], fixed: set[str]) -> list[tuple[str, float]]:
        """Return tokens in the order in which they can be given up, each with its cost.

        Only a token that no other one is derived from can go; the cheapest of these goes first. Its parts replace it,
        so their frequency grows by its own. For example, with frequencies abc 2, ab 3, c 9 and the merges a+b and ab+c:
        first abc goes and costs 2 (a text with it needs 1 token more, twice), then ab, which by now occurs 5 times and
        costs 5.

        A word that is taken whole (`ignore_merges`) may become many tokens, and then costs more than its parts do
        afterwards; such a part counts as dear as what had to go before it, so that costs never fall. A character costs
        the further bytes that spell it, and at least one token: a byte, or the unknown token, says less than it does.

        The `frequency` in running text and the cost are in the same unit, any; `fixed` tokens stay, with their
        derivations. Tokens that no text produces come first.
        """
        weight = {token: frequency.get(token, 0.0) for token in self.vocab}
        stay = fixed | self.atoms
        unreachable = [token for token in self.vocab if token not in self.parts and token not in stay]
        users: Counter[str] = Counter()
        for parts in self.parts.values():
            users.update(dict.fromkeys(parts, 1))
        removable = {token for token, parts in self.parts.items() if parts and token not in stay}

        def entry(token: str) -> tuple[float, bool, int, str]:
            further_tokens = max(len(self.parts[token]) - 1, 1)
            # Of equally dear ones characters go last and the teacher's later ones first: its order is one of frequency.
            return weight[token] * further_tokens, len(token) == 1, -self.vocab[token], token

        heap = [entry(token) for token in removable if not users[token]]
        heapq.heapify(heap)
        order, highest = [(token, 0.0) for token in unreachable], 0.0
        while heap:
            cost, *_, token = heapq.heappop(heap)
            highest = max(highest, cost)
            order.append((token, highest))
            for part in self.parts[token]:
                weight[part] += weight[token]
            for part in dict.fromkeys(self.parts[token]):
                users[part] -= 1
                if not users[part] and part in removable:
                    heapq.heappush(heap, entry(part))
        return order

    def allowed(self, left: str, right: str) -> bool:
        """Return whether a learned merge may join two tokens."""
        if not self.byte_level:
            return joins_letters(left, right)
        token = left + right
        characters = sum(map(_FIRST_BYTES.__contains__, token))
        return characters <= LONGEST_TOKEN and _is_text_or_begins_a_character(token)

    def build(self, kept: Iterable[str], characters: Iterable[str], merges: Iterable[Merge]) -> dict[str, Any]:
        """Return the model of tokens of the teacher, in the order of their new ids, new characters, learned merges."""
        tokens = dict.fromkeys([*kept, *characters])
        pairs = [p for p in self.merges if p[0] in tokens and p[1] in tokens and p[0] + p[1] in tokens]
        for merge in merges:
            tokens.setdefault(merge.token)
            pairs.append((merge.left, merge.right))
        vocab = {token: token_id for token_id, token in enumerate(tokens)}
        return {**self.model, "vocab": vocab, "merges": [list(pair) for pair in pairs]}


def _pair(merge: str | list[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def joins_letters(left: str, right: str) -> bool:
    """Return whether two tokens are short and of letters and marks only; the first may begin with or be a space mark.

    Families that mark spaces have no pre-tokenizer that keeps punctuation and digits apart from words;
    SentencePiece's trainer does that while it learns, so it is done here too.
    """
    joined = left.removeprefix(SPACE) + right
    return len(left) + len(right) <= LONGEST_TOKEN and all(unicodedata.category(c)[0] in "LM" for c in joined)


def byte_string(token: str) -> bytes:
    """Return the bytes that a token in the byte-level alphabet stands for."""
    return bytes(_BYTE_OF[character] for character in token)


def byte_alphabet(text: bytes) -> str:
    """Return the byte-level alphabet's characters for some bytes."""
    return "".join(_CHARACTER_OF[byte] for byte in text)


# The alphabet of GPT-2: printable Latin-1 characters stand for themselves, the others are moved up in order.
_PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))
_MOVED = [byte for byte in range(256) if byte not in _PRINTABLE]
_BYTE_OF = {chr(byte): byte for byte in _PRINTABLE} | {chr(256 + place): byte for place, byte in enumerate(_MOVED)}
_CHARACTER_OF = {byte: character for character, byte in _BYTE_OF.items()}
BYTE_ALPHABET = frozenset(_BYTE_OF)
# Bytes with which a character begins in UTF-8.
_FIRST_BYTES = BYTE_ALPHABET - {_CHARACTER_OF[byte] for byte in range(0x80, 0xC0)}


def _is_text_or_begins_a_character(token: str) -> bool:
    try:
        byte_string(token).decode()
    except UnicodeDecodeError as error:
        return error.start == 0 and error.reason == "unexpected end of data"
    return True
