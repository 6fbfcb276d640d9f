"""Which single characters a vocabulary cannot do without: those that the text of the languages writes.

Where bytes spell a missing character none is needed. Elsewhere it becomes the unknown token, in WordPiece together with
its whole word, so every character that a language's text is written with stays, however rare: in both cases, and with
all of ASCII, since little text has few names, numbers and addresses. Which languages that holds for depends on the room
(`adapt.Adaptation`). Not needed are the rarest ones of a text that
make up one in 100,000 of its characters together: names in foreign scripts, damage. These, and characters that no text
has, are tokens like others and keep their places where their use pays for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hub_tools.tokenization.pretokenization import WordCounts, character_counts
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

_ASCII = frozenset(map(chr, range(33, 127)))
_FOREIGN_SHARE = 1e-5


def needed_characters(teacher: TokenizerSpec, word_counts: Mapping[str, WordCounts], *, keep_all: bool) -> set[str]:
    """Return the characters that must not be lost, also some that the teacher lacks; with `keep_all` all it has."""
    if keep_all:
        return set().union(*teacher.model_vocab)
    if teacher.reads_bytes:
        return set()
    written = _ASCII.union(*map(_written, word_counts.values()))
    forms = {form for character in written for form in (character, character.lower(), character.upper())}
    return {form for form in forms if len(form) == 1}


def _written(words: WordCounts) -> set[str]:
    # For example, with 300,000 characters, of which four occur once and two twice: 3 may be foreign, but of those seen
    # once there are 4, so all stay; with 400,000 the four go.
    counts = character_counts(words)
    running = Counter[int]()
    for count in counts.values():
        running[count] += count
    rarest, foreign = 0, _FOREIGN_SHARE * counts.total()
    for count in sorted(running):
        foreign -= running[count]
        if foreign < 0:
            break
        rarest = count
    return {character for character, count in counts.items() if count > rarest}
