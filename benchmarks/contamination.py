"""What of real training text is taken for evaluation text, and what is found of evaluation text that was changed.

    python -m benchmarks.contamination --data DATA [--show]

Writes a section of docs/results.md. `--show` prints up to 15 texts of each source that are nearly an evaluation text,
each with that text, for a person to judge.
"""

from __future__ import annotations

import argparse
import gzip
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.document import table, write_section
from benchmarks.tables import rows_of
from hub_tools.corpus.contamination import EvaluationTexts

# Data sets -> their files and columns; every row, or those of a language.
_SETS = {
    "STSb": ("sts/stsb-{lang}-test", "sentence1", "sentence2"),
    "XQuAD questions": ("retrieval/xquad-questions", "{lang}"),
    "XQuAD passages": ("retrieval/xquad-contexts", "{lang}"),
    "NTREX": ("bitext/ntrex128", "{lang}"),
    "FLORES": ("bitext/flores200-devtest", "{lang}"),
    "WMT 2016": ("bitext/newstest2016-en-tr", "{lang}"),
    "WMT 2017": ("bitext/newstest2017-en-tr", "{lang}"),
    "SIB-200": ("classification/sib200", "text"),
}
_TURKISH_SETS = {
    "TQuAD questions": ("retrieval/tquad-train-tr-questions", "question"),
    "TQuAD passages": ("retrieval/tquad-train-tr-contexts", "text"),
    "Tatoeba": ("bitext/tatoeba-laser", "text"),
    "news categories": ("classification/newscat-tr", "text"),
    "ATIS": ("classification/atis-intent-tr", "text"),
}
_SOURCES = {
    "Turkish Wikipedia": ("text-tr/wikipedia",),
    "more Turkish Wikipedia": ("text-tr/wikipedia-2",),
    "Turkish news": ("text-tr/news",),
    "Tatoeba, Turkish": ("text-tr/tatoeba",),
    "Turkish treebanks": ("text-tr/treebanks",),
    "Turkish paragraphs": ("paragraphs/paragraphs-tr", "text"),
    "passages of query-passage pairs": ("pairs/query-passage-tr", "positive"),
    "English text": ("text/en",),
    "sentences of STSb-tr train": ("sts/stsb-tr-train", "sentence1", "sentence2"),
}
# Texts to change -> their file and columns, and fewest and most letters.
_CHANGED = {
    "STSb-tr, 30 to 59 letters": (("sts/stsb-tr-test", "sentence1"), 30, 59),
    "STSb-tr, 60 and more": (("sts/stsb-tr-test", "sentence1"), 60, 10**6),
    "STSb-en, 30 to 59": (("sts/stsb-en-test", "sentence1"), 30, 59),
    "XQuAD-tr questions, 30 to 59": (("retrieval/xquad-questions", "tr"), 30, 59),
    "FLORES, Turkish, 60 and more": (("bitext/flores200-devtest", "tr"), 60, 10**6),
    "FLORES, Finnish, 60 and more": (("bitext/flores200-devtest", "fi"), 60, 10**6),
    "FLORES, Korean, 30 and more": (("bitext/flores200-devtest", "ko"), 30, 10**6),
    "STSb-tr, under 30": (("sts/stsb-tr-test", "sentence1"), 1, 29),
}
_CHANGES = ("other case and punctuation", "a word changed", "a word left out", "two joined")
_SHOWN, _MOST_CHANGED = 15, 500


def texts(data: Path, file: str, *columns: str, lang: str = "tr") -> list[str]:
    """Return the texts of columns of a table, or the lines of a file without columns; each once."""
    path = data / file.format(lang=lang)
    if not columns:
        with gzip.open(f"{path}.txt.gz", "rt", encoding="utf-8") as lines:
            return lines.read().splitlines()
    own = [row for row in rows_of(Path(f"{path}.tsv.gz")) if row.get("lang", lang) == lang]
    return list(dict.fromkeys(row[column.format(lang=lang)] for row in own for column in columns))


def evaluation_sets(data: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each data set, with the texts of its Turkish and its English side."""
    for name, (file, *columns) in _SETS.items():
        yield name, [text for lang in ("tr", "en") for text in texts(data, file, *columns, lang=lang)]
    for name, (file, *columns) in _TURKISH_SETS.items():
        yield name, texts(data, file, *columns)


def found_in(evaluation: EvaluationTexts, source: Sequence[str], *, show: bool) -> list[str]:
    """Return the cells that say how many texts of a source are evaluation texts, and of which data."""
    kinds, names, shown = Counter[str](), Counter[str](), 0
    for text, match in evaluation.screen(source, lambda text: (text,)):
        if match is not None:
            kinds[match.kind] += 1
            names[match.name] += 1
            if show and match.kind == "near" and shown < _SHOWN:
                shown += 1
                print(f"  {match.name}: {text[:300]}")
    where = ", ".join(f"{name} {count}" for name, count in names.most_common())
    return [f"{len(source):,}", str(kinds["exact"]), str(kinds["near"]), where]


def changed(rng: np.random.Generator, text: str, other: str) -> list[str]:
    """Return a text changed in each of the ways of `_CHANGES`; `other` gives the word, or the text, that is put in."""
    words, place = text.split(), int(rng.integers(len(text.split())))
    before, after = words[:place], words[place + 1 :]
    word = str(rng.choice(other.split()))
    return [
        text.upper().replace(" ", ", "),
        " ".join([*before, word, *after]),
        " ".join([*before, *after]),
        f"{text} {other}",
    ]


def shares(data: Path) -> list[list[str]]:
    """Return the table of what is found of texts that were changed."""
    rows = []
    for name, ((file, column), fewest, most) in _CHANGED.items():
        rng = np.random.default_rng(1)
        everything = texts(data, file, column)
        chosen = [text for text in everything if fewest <= sum(map(str.isalnum, text)) <= most][:_MOST_CHANGED]
        evaluation = EvaluationTexts([(name, chosen)])
        others = rng.choice([text for text in everything if text not in set(chosen)], len(chosen)).tolist()
        ways = zip(*(changed(rng, *both) for both in zip(chosen, others, strict=True)), strict=True)
        found = [[match is not None for match in evaluation.find(texts)] for texts in ways]
        rows.append([f"{name} ({len(chosen)})", *(f"{100 * sum(each) / len(each):.0f}" for each in found)])
    return [["texts, of which %", *_CHANGES], *rows]


def main() -> None:
    """Measure, then write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    evaluation = EvaluationTexts(evaluation_sets(args.data))
    rows = [["training text", "texts", "the same", "nearly", "what they are in"]]
    for name, (file, *columns) in _SOURCES.items():
        print(name)
        rows.append([name, *found_in(evaluation, texts(args.data, file, *columns), show=args.show)])
    written = ["Written by `python -m benchmarks.contamination --data DATA`.", ""]
    write_section("results.md", "contamination", [*written, *table(rows), "", *table(shares(args.data))])


if __name__ == "__main__":
    main()
