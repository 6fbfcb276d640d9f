"""What sharing a vocabulary costs the target, and what `--vocab-size auto` finds; writes docs/results.md.

    python -m benchmarks.sizes --data DIR --teacher DIR

DIR holds text/{lang}.txt.gz; the teacher is a folder with a model, such as multilingual-e5-small. Nothing is learned in
any of the vocabularies. One text in 20 of Turkish, English, Chinese and Korean is only measured on.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from itertools import islice
from pathlib import Path

from benchmarks.document import write_section
from benchmarks.surgery import lines
from hub_tools.config import TokenizerConfig
from hub_tools.core.languages import LANGUAGES
from hub_tools.models.resolve import find_teacher
from hub_tools.models.sizes import with_model_sizes
from hub_tools.models.tokenizer import read_teacher_tokenizer
from hub_tools.reporting.tables import markdown_table, sizes_rows
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.metrics import measure
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

TARGET, MEASURED = "tr", ("tr", "en", "zh", "ko")
SIZES = (32_768, 65_536, 131_072)
_LARGE = 131_072
_ONE_IN = 20
# Texts of each language but target and English.
_TEXTS = 6_500


class EvenlyWeighed(Adaptation):
    """All languages have, whatever the size, the weight and the characters that they have in a large vocabulary."""

    def _weights(self, size: int) -> dict[str, float]:
        return super()._weights(max(size, _LARGE))

    def _needed(self, size: int) -> set[str]:
        return set(super()._needed(max(size, _LARGE)))


class Trims:
    """Trims of a teacher for some languages, measured on text that they were not made from."""

    def __init__(self, teacher: TokenizerSpec, data: Path, languages: list[str], kind: type[Adaptation]) -> None:
        self.teacher = teacher
        self.heldout = {lang: list(islice(self._read(data, lang), 0, None, _ONE_IN)) for lang in MEASURED}
        texts = {lang: partial(self._texts, data, lang) for lang in languages}
        self.adaptation = kind(teacher, texts, targets=(TARGET,), config=TokenizerConfig(vocab_size="auto"))

    def _read(self, data: Path, lang: str) -> list[str]:
        return list(islice(lines(data / "text" / f"{lang}.txt.gz"), None if lang in MEASURED[:2] else _TEXTS))

    def _texts(self, data: Path, lang: str) -> list[str]:
        texts = self._read(data, lang)
        return [text for number, text in enumerate(texts) if number % _ONE_IN] if lang in MEASURED else texts

    def row(self, size: int) -> list[str]:
        """Tokens per word of target and English, against the teacher's, and what is unknown in the others."""
        spec = self.teacher
        student = spec.with_model(self.adaptation.trimmed(size), spec.spec["normalizer"], spec.added_tokens, None)
        before, after = (
            {lang: measure(t.load(), own, lang, t.unk_token) for lang, own in self.heldout.items()}
            for t in (spec, student)
        )
        count = {lang: (before[lang]["tokens_per_word"], after[lang]["tokens_per_word"]) for lang in MEASURED[:2]}
        return [
            *(f"{ours:.3f} ({ours / theirs - 1:+.2%})" for theirs, ours in count.values()),
            *(f"{after[lang]['unknown_text']:.1%}" for lang in MEASURED[2:]),
        ]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    args = parser.parse_args()
    teacher = find_teacher(str(args.teacher))
    tokenizer = read_teacher_tokenizer(teacher)
    every = [lang for lang in LANGUAGES if (args.data / "text" / f"{lang}.txt.gz").exists()]
    two = Trims(tokenizer, args.data, [TARGET, "en"], Adaptation)
    started = time.process_time()
    alone = two.adaptation.sizes
    seconds = time.process_time() - started
    rows = {"Turkish and English alone": two}
    rows[f"{len(every)} languages, the others 0.4 at every size"] = Trims(tokenizer, args.data, every, EvenlyWeighed)
    shared = rows[f"{len(every)} languages, as it is"] = Trims(tokenizer, args.data, every, Adaptation)
    table = [["vocabulary", "made for", "Turkish", "English", "unknown, Chinese", "Korean"]]
    table += [[f"{size:,}", name, *trims.row(size)] for size in SIZES for name, trims in rows.items()]
    text = [
        f"Written by `python -m benchmarks.sizes --data DATA --teacher {args.teacher.name}` on "
        f"{time.strftime('%Y-%m-%d')}: tokens per word on held-out text (and against the teacher's), and the share of "
        "characters that is unknown.",
        "",
        markdown_table(table),
        "",
        "`--vocab-size auto`, tokens per word on the text that the vocabulary is made from:",
        "",
    ]
    for name, sizes, trims in (("alone", alone, two), ("with the others", shared.adaptation.sizes, shared)):
        found = trims.adaptation.size
        turkish, english, *_ = trims.row(found)
        text += [
            f"Turkish and English {name}; on held-out text {found:,} tokens cost Turkish {turkish} and "
            f"English {english}.",
            "",
            markdown_table(sizes_rows(with_model_sizes(sizes, teacher), found)),
            "",
        ]
    text.append(f"The curve for the two took {seconds:.0f} s of processors, of {os.cpu_count()}.")
    write_section("results.md", "sizes", text)


if __name__ == "__main__":
    main()
