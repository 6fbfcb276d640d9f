"""A tokenizer that was made, and what is said of how it came about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_tools.tokenization.normalizer import NormalizerChange
from hub_tools.tokenization.pretokenization import reachable_tokens
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.wordpiece import PREFIX
from hub_tools.tokenization.wordpiece_selection import VocabularyPlan, reachable_pieces


@dataclass(frozen=True, kw_only=True)
class AdaptedTokenizer:
    """A student's tokenizer and how it came about."""

    teacher: TokenizerSpec
    student: TokenizerSpec
    plan: VocabularyPlan
    change: NormalizerChange

    @property
    def is_trim(self) -> bool:
        """Whether it has the teacher's tokens and normalizer alone."""
        return not self.learned and not self.change.notes

    @property
    def learned(self) -> int:
        """How many tokens, new characters among them, are not kept ones."""
        return len(self.plan.tokens) - self.plan.kept

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the student's tokenizer as AutoTokenizer reads it."""
        self.student.write(Path(folder))

    def summary(self) -> dict[str, Any]:
        """Return the fields of `TokenizerResult` that say how it was made."""
        teacher_vocab = self.teacher.vocab
        return {
            **count_tokens(self.teacher, self.student),
            "added_reachable": self._count_reachable([t for t in self.student.model_vocab if t not in teacher_vocab]),
            "placeholders_dropped": len(self.teacher.placeholders - self.student.vocab.keys()),
            "sources": self._sources(),
            "new_characters": self.plan.characters,
            "split": self.plan.split,
            "objective": self.plan.objective,
            "normalizer_changes": list(self.change.notes),
        }

    def _sources(self) -> dict[str, int]:
        teacher_vocab, student_vocab = self.teacher.vocab, self.student.vocab
        kept = student_vocab.keys() & teacher_vocab.keys()
        special = kept & set(self.teacher.added_tokens)
        single = {t for t in kept - special if len(t.removeprefix(PREFIX)) == 1 or t.startswith("<0x")}
        new_characters = set(self.plan.characters) - teacher_vocab.keys()
        return {
            "special": len(special),
            "bytes and characters": len(single),
            "teacher's, by use": len(kept) - len(special) - len(single),
            "new characters": len(new_characters),
            "learned": len(student_vocab) - len(kept) - len(new_characters),
        }

    def _count_reachable(self, tokens: list[str]) -> int:
        model = self.student.spec["model"]
        if self.teacher.family == "WordPiece":
            return len(reachable_pieces(tokens, model["vocab"], model["unk_token"]))
        return len(reachable_tokens(model, tokens))


def count_tokens(teacher: TokenizerSpec, student: TokenizerSpec) -> dict[str, Any]:
    """Return the fields of `TokenizerResult` that count tokens."""
    teacher_vocab, student_vocab = teacher.vocab, student.vocab
    kept = len(student_vocab.keys() & teacher_vocab.keys())
    return {
        "family": student.family,
        "vocab_size": len(student_vocab),
        "kept": kept,
        "added": len(student_vocab) - kept,
        "specials_kept": sum(token in student_vocab for token in teacher.special_tokens),
    }
