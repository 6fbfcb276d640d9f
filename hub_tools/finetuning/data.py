"""Data to train on with labels, or with pseudo-labels, in the formats in which the evaluation takes data to measure on.

Every table becomes examples: texts that belong together and, of similarities, a score. A tenth of them is held out, of
retrieval with the passages; it decides what is kept of a training.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from hub_tools.config_finetune import FinetuneConfig, Skill
from hub_tools.core.errors import UserError
from hub_tools.core.files import digest, user_path
from hub_tools.corpus.contamination import EvaluationTexts, by_data
from hub_tools.corpus.readers import column_names
from hub_tools.evaluation import data as sets
from hub_tools.evaluation.tasks import Task, names_of
from hub_tools.finetuning.hub_table import HubTable, is_hub_table, load_table
from hub_tools.results import FinetuneData

# One example in so many is held out.
_HELDOUT = 10
# Most held-out examples that are measured on, and passages that are searched: each share of a change is measured.
_MOST_DEV = 600
# Pseudo-queries: characters of a first sentence, and of the paragraph before.
_SENTENCE, _BEFORE = (20, 200), 300
_FIRST_SENTENCE = re.compile(r"(.+?[.!?…。！？])\s+(?=\S)", re.DOTALL)
_ENTAILS, _CONTRADICTS = frozenset({"entailment", "0"}), frozenset({"contradiction", "2"})
_QUERIES, _POSITIVES, _NEGATIVES = ("query", "question", "anchor"), ("positive", "passage", "answer"), ("negative",)


class Example(NamedTuple):
    """Texts that belong together: a pair with a score; or a query, its passage, and perhaps negatives."""

    texts: tuple[str, ...]
    group: int  # what has the same number is held out together
    score: float = 1.0
    same: bool = True  # of inference: whether the second text says what the first does


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The examples of a file in one language."""

    skill: Skill
    name: str
    examples: tuple[Example, ...]
    has_labels: bool = True  # false where the queries were made from the passages
    license: str | None = None  # of a dataset of the Hub, as its card names it
    revision: str | None = None

    @property
    def identity(self) -> str:
        """A hash of all that is trained on."""
        return digest([self.skill, self.name, self.examples])


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Examples to train on, and the task that the held-out ones make; None where these are too few."""

    labelled: Labelled
    train: tuple[Example, ...]
    dev: Task | None
    result: FinetuneData


def read_labelled(config: FinetuneConfig, languages: tuple[str, ...], *, fetch: bool = True) -> tuple[Labelled, ...]:
    """Read all data of the options, each file once for each language that it holds; without `fetch` no Hub datasets.

    Raises:
        UserError: a file is missing, damaged, or has other columns than expected.
    """
    return tuple(_read_all(config, languages, fetch=fetch))


def with_translations(parts: Sequence[Parts]) -> list[tuple[Parts, ...]]:
    """Return each set of similarities with the first one that it is a translation of; alone where there is none.

    Sets are translations of each other if they have the same scores in the same places. Two translations of a third
    set are each paired with that one, not with each other.
    """
    firsts: list[list[tuple[Parts, ...]]] = []
    for one in parts:
        known = next((sets for sets in firsts if _are_translations(sets[0][0], one)), None)
        if known is None:
            firsts.append([(one,)])
        else:
            known.append((known[0][0], one))
    # One that has a translation is trained with it.
    return [found for sets in firsts for found in sets[len(sets) > 1 :]]


def _are_translations(one: Parts, two: Parts) -> bool:
    places = [[(example.group, example.score) for example in parts.labelled.examples] for parts in (one, two)]
    left = [{example.group for example in parts.train} for parts in (one, two)]
    return places[0] == places[1] and not left[0].isdisjoint(left[1])


def _read_all(config: FinetuneConfig, languages: tuple[str, ...], *, fetch: bool) -> Iterator[Labelled]:
    kinds: dict[str, Skill] = {"nli": "nli", "retrieval": "retrieval", "paragraphs": "retrieval", "sts": "sts"}
    for kind, skill in kinds.items():
        specs = list(getattr(config, kind))
        for spec, (own_name, _) in zip(specs, names_of(specs), strict=True):
            option = f"--finetune-{kind}"
            if is_hub_table(spec) and not fetch:
                continue
            table = load_table(option, spec) if is_hub_table(spec) else HubTable(spec=spec, name=own_name)
            # The same file may be given for its labels too.
            name = table.name + (" (pseudo-queries)" if kind == "paragraphs" else "")
            seen: list[tuple[Example, ...]] = []
            for lang in languages:
                examples = tuple(_READERS[kind](option, table.spec, lang))
                if not examples:
                    raise UserError(f"{option} {spec} holds nothing to train on in {lang}.")
                if examples in seen:  # what is the same in all languages has none of its own
                    continue
                seen.append(examples)
                yield Labelled(
                    skill=skill,
                    name=f"{name} ({lang})" if len(seen) > 1 else name,
                    examples=_thin(examples, config.limit),
                    has_labels=kind != "paragraphs",
                    license=table.license,
                    revision=table.revision,
                )


def _thin(examples: tuple[Example, ...], limit: int | None) -> tuple[Example, ...]:
    """Return as many examples as a limit allows, spread over all."""
    step = max(1.0, len(examples) / limit) if limit else 1.0
    return tuple(examples[int(number * step)] for number in range(int(len(examples) / step)))


def _similarity(option: str, spec: str, lang: str) -> Iterator[Example]:
    data = sets.read_similarity(spec, lang, option=option, split="train")
    rows = zip(data.first, data.second, data.scores, strict=True)
    # The same pair in two languages is held out in both, if it is in the same place.
    return (Example((first, second), number, score) for number, (first, second, score) in enumerate(rows))


def _inference(option: str, spec: str, lang: str) -> Iterator[Example]:
    """Yield a premise with what follows from it and what contradicts it; and all pairs that do not follow."""
    file = sets.one_file(option, spec)
    if "anchor" in column_names(file):
        yield from _triplets(option, file, lang)
        return
    columns = (("premise", "sentence1", "text1"), ("hypothesis", "sentence2", "text2"), ("label", "labels"))
    rows = sets.part_of(sets.read_rows(option, file, lang, *columns), "train")
    first, second, labels = sets.texts_in(rows, 0), sets.texts_in(rows, 1), sets.labels_in(rows, 2)
    labels = [re.sub(r"\.0$", "", label) for label in labels]
    if set(labels) <= {"0", "1"}:  # of pairs that say the same or not, as --pairs has them
        labels = ["entailment" if label == "1" else "neutral" for label in labels]
    groups: dict[str, int] = {}
    contradicting = {one: two for one, two, label in zip(first, second, labels, strict=True) if label in _CONTRADICTS}
    for one, two, label in zip(first, second, labels, strict=True):
        group = groups.setdefault(one, len(groups))
        if label in _ENTAILS:
            yield Example((one, two, *([contradicting[one]] if one in contradicting else [])), group)
        else:
            yield Example((one, two), group, same=False)


def _triplets(option: str, file: Path, lang: str) -> Iterator[Example]:
    """Yield rows with a query, its passage and, where there is such a column, a negative."""
    names = column_names(file)
    negative = [_NEGATIVES] if "negative" in names else []
    rows = sets.part_of(sets.read_rows(option, file, lang, _QUERIES, _POSITIVES, *negative), "train")
    sides = [sets.texts_in(rows, place) for place in range(2 + len(negative))]
    groups: dict[str, int] = {}
    for texts in zip(*sides, strict=True):
        yield Example(texts, groups.setdefault(texts[1], len(groups)))


def _retrieval(option: str, spec: str, lang: str) -> Iterator[Example]:
    if "," in spec or user_path(spec).is_dir():
        data = sets.read_retrieval(spec, lang, option=option, split="train")
        for query, relevant in zip(data.queries, data.relevant, strict=True):
            yield from (Example((query, data.passages[number]), number) for number in relevant)
        return
    file = sets.one_file(option, spec)
    if set(_POSITIVES) & set(column_names(file)):
        yield from _triplets(option, file, lang)
    else:
        rows = sets.read_rows(option, file, lang, ("title",), ("text",))
        found = enumerate(zip(sets.texts_in_or_empty(rows, 0), sets.texts_in(rows, 1), strict=True))
        yield from (Example((title, text), number) for number, (title, text) in found if title)


def _paragraphs(option: str, spec: str, lang: str) -> Iterator[Example]:
    """Yield pseudo-queries: titles, first sentences with the rest, and the paragraph before under the same title."""
    file = sets.one_file(option, spec)
    titled = [("title",)] if "title" in column_names(file) else []
    rows = sets.read_rows(option, file, lang, ("text", lang), *titled)
    texts = sets.texts_in(rows, 0)
    titles = sets.texts_in_or_empty(rows, 1) if titled else [""] * len(rows)
    for number, (title, text) in enumerate(zip(titles, texts, strict=True)):
        if title:
            yield Example((title, text), number)
        first = _FIRST_SENTENCE.match(text)
        if first and _SENTENCE[0] <= len(first[1]) <= _SENTENCE[1] and len(rest := text[first.end() :]) > len(first[1]):
            yield Example((first[1], rest), number)
    for number, ((title, text), (next_title, following)) in enumerate(pairwise(zip(titles, texts, strict=True)), 1):
        if title == next_title and (title or not titled):
            yield Example((text[-_BEFORE:], following), number)


_READERS = {"nli": _inference, "retrieval": _retrieval, "paragraphs": _paragraphs, "sts": _similarity}


def check_something_left(labelled: Labelled, evaluation: EvaluationTexts) -> None:
    """Refuse data of which nothing will be left to train on; most is known by its first thousands of examples.

    Raises:
        UserError: all examples hold a text to measure on, are held out, or say that no text belongs to another.
    """
    known = _heldout_texts(labelled, filter(_is_heldout, labelled.examples))
    able = (ex for ex in labelled.examples if ex.same and not _is_heldout(ex) and known.isdisjoint(ex.texts))
    if not any(match is None for _, match in evaluation.screen(able, lambda example: example.texts)):
        split(labelled, evaluation)  # what it drops is not held out, so more may be left


def split(labelled: Labelled, evaluation: EvaluationTexts) -> Parts:
    """Hold out a tenth of the examples, without those that hold a text to measure on."""
    screened = list(evaluation.screen(labelled.examples, lambda example: example.texts))
    kept = [example for example, match in screened if match is None]
    matches = [match for _, match in screened if match is not None]
    heldout = [example for example in kept if _is_heldout(example)]
    known = _heldout_texts(labelled, heldout)
    train = [example for example in kept if not _is_heldout(example) and known.isdisjoint(example.texts)]
    if not any(example.same for example in train):
        raise UserError(
            f"--finetune data {labelled.name}: nothing is left to train on of {len(labelled.examples):,} examples; "
            f"{len(matches):,} hold a text that is measured on. Leave the data out, or the task that it belongs to."
        )
    passages = (
        list(dict.fromkeys(text for example in kept for text in example.texts[1:])) if _searches(labelled) else []
    )
    result = FinetuneData(
        skill=labelled.skill,
        name=labelled.name,
        license=labelled.license,
        revision=labelled.revision,
        has_labels=labelled.has_labels,
        train=len(train),
        heldout=len(heldout),
        dropped_contaminated=len(matches),
        contamination=by_data({match: matches.count(match) for match in set(matches)}),
    )
    dev = _dev_task(labelled, heldout, passages)
    return Parts(labelled=labelled, train=tuple(train), dev=dev, result=result)


def _is_heldout(example: Example) -> bool:
    return example.group % _HELDOUT == _HELDOUT - 1


def _heldout_texts(labelled: Labelled, heldout: Iterable[Example]) -> set[str]:
    """Return texts that would flatter on both sides: of retrieval queries, for its passages are held out by number."""
    return {text for example in heldout for text in (example.texts[:1] if _searches(labelled) else example.texts)}


def _searches(labelled: Labelled) -> bool:
    return labelled.skill == "retrieval"


def _dev_task(labelled: Labelled, heldout: Sequence[Example], passages: list[str]) -> Task | None:
    """Return the task that held-out examples make, not too large to be done often; None where they say nothing."""
    heldout = heldout[:: max(1, -(-len(heldout) // _MOST_DEV))]
    data: sets.Data
    if labelled.skill == "retrieval":
        data = _search_among(heldout, passages)
        is_telling = bool(data.queries)
    elif labelled.skill == "sts":
        first, second = ([example.texts[side] for example in heldout] for side in (0, 1))
        data = sets.Similarity(first=first, second=second, scores=[example.score for example in heldout])
        is_telling = len(set(data.scores)) > 1
    else:
        pairs = {(example.texts[0], example.texts[1]): example.same for example in heldout}
        pairs |= {(example.texts[0], text): False for example in heldout for text in example.texts[2:]}
        data = sets.Pairs(first=[one for one, _ in pairs], second=[two for _, two in pairs], same=list(pairs.values()))
        is_telling = len(set(data.same)) > 1
    return Task(name=f"{labelled.skill} {labelled.name}", split="heldout", data=data) if is_telling else None


def _search_among(heldout: Sequence[Example], passages: list[str]) -> sets.Retrieval:
    """Return the search for held-out passages among these and others."""
    right = list(dict.fromkeys(example.texts[1] for example in heldout))
    known = set(right)
    others = [text for text in passages if text not in known]
    others = others[:: max(1, len(others) // max(1, _MOST_DEV - len(right)))]
    number = {text: place for place, text in enumerate([*right, *others])}
    answers: dict[str, dict[int, float]] = {}
    for example in heldout:
        answers.setdefault(example.texts[0], {})[number[example.texts[1]]] = 1.0
    return sets.Retrieval(queries=list(answers), passages=list(number), relevant=list(answers.values()))
