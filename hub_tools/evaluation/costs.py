"""What models cost: parameters, disk, time and memory, all of them on the same texts."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, zip_longest
from typing import Any

from hub_tools.core.hardware import autocast
from hub_tools.core.languages import WITHOUT_SPACES
from hub_tools.core.logging import bar, log
from hub_tools.evaluation.data import Bitext
from hub_tools.evaluation.memory import peak_memory
from hub_tools.evaluation.mteb_tasks import AnyTask
from hub_tools.evaluation.subject import Role, Subject
from hub_tools.evaluation.tasks import Task
from hub_tools.models.encoder import in_smaller_batches
from hub_tools.models.loading import token_rows
from hub_tools.results import Costs, Speed, is_read
from hub_tools.tokenization.metrics import measure
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

_SENTENCES, _PARAGRAPHS = 128, 32
# Characters. Long texts are cut: a batch of them at a model's full length would not fit into the memory of many
# machines.
_LONGEST_SENTENCE, _SHORTEST_PARAGRAPH, _LONGEST_PARAGRAPH = 200, 500, 1000
_ROUNDS, _BATCH = 5, 32  # the batch is what sentence-transformers takes by default


def measure_costs(
    subjects: Mapping[str, Subject], texts: Sequence[str], lang: str, weights: Mapping[str, int]
) -> dict[str, Costs]:
    """Return what each model costs on texts in a language, all on the same ones; nothing where there are none.

    `weights` are the bytes of the models' weights on disk. Models take turns, so that a slow moment hits all.
    """
    sentences, paragraphs = sentences_of(texts), paragraphs_of(texts, lang)
    if not sentences:
        return {}
    log.debug("  costs, %d sentences and %d paragraphs", len(sentences), len(paragraphs))
    # First, so that no model is slow because it is new.
    memory = {
        name: peak_memory(subject.model, partial(_encode, subject, paragraphs, "document"))
        for name, subject in subjects.items()
    }
    short, long = _speeds(subjects, sentences, "query"), _speeds(subjects, paragraphs, "document")
    costs = {}
    for name, subject in subjects.items():
        all_params, rows = sum(p.numel() for p in subject.model.parameters()), token_rows(subject.model).numel()
        costs[name] = Costs(
            embedding_params=rows,
            other_params=all_params - rows,
            weight_bytes=weights[name],
            sentences=short[name],
            paragraphs=long[name],
            peak_memory=memory[name],
            tokens_per_word=_tokens_per_word(subject, sentences + paragraphs, lang),
        )
    return costs


def sentences_of(texts: Iterable[str]) -> list[str]:
    """Return the short ones among texts; where there are none, what the first ones begin with."""
    texts = [text for text in texts if text.strip()]
    short = [text for text in texts if len(text) <= _LONGEST_SENTENCE]
    return (short or [text[:_LONGEST_SENTENCE] for text in texts])[:_SENTENCES]


def paragraphs_of(texts: Sequence[str], lang: str, most: int = _PARAGRAPHS) -> list[str]:
    """Return long texts, cut; where these are few also successive short ones, joined until they are long."""
    long = [text for text in texts if len(text) >= _SHORTEST_PARAGRAPH]
    joined = _joined((text for text in texts if len(text) < _SHORTEST_PARAGRAPH), "" if lang in WITHOUT_SPACES else " ")
    return [text[:_LONGEST_PARAGRAPH] for text in [*long, *joined][:most]]


def _joined(texts: Iterable[str], between: str) -> Iterator[str]:
    paragraph, is_any = "", False
    for text in texts:
        paragraph = f"{paragraph}{between}{text}" if paragraph else text
        if len(paragraph) >= _SHORTEST_PARAGRAPH:
            yield paragraph
            paragraph, is_any = "", True
    if paragraph and not is_any:  # all texts together are no longer
        yield paragraph


def texts_of_tasks(tasks: Iterable[AnyTask]) -> list[str]:
    """Return each text that tasks are measured on once, a text of each side in turns; of translations the target's."""
    in_turns = chain.from_iterable(zip_longest(*(side for task in tasks for side in _sides(task))))
    return list(dict.fromkeys(text for text in in_turns if text is not None))


def _sides(task: AnyTask) -> list[list[str]]:
    if not isinstance(task, Task):
        return [list(task.texts())]
    return task.sides[1:] if isinstance(task.data, Bitext) else task.sides


def _tokens_per_word(subject: Subject, texts: list[str], lang: str) -> float | None:
    tokenizer = subject.whole_tokenizer
    files = TokenizerSpec(spec=json.loads(tokenizer.to_str()), settings={})
    figures = measure(tokenizer, texts, lang, files.unk_token)
    return figures["tokens_per_word"] if is_read(figures) else None


def _speeds(subjects: Mapping[str, Subject], texts: list[str], role: Role) -> dict[str, Speed]:
    """Return the median speed of each model at the same texts; tokens are those it reads, prompt included."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    with bar("speed", _ROUNDS * len(subjects), " rounds", is_part=True, delay=1) as progress:
        for _ in range(_ROUNDS):
            for name, subject in subjects.items():
                start = time.perf_counter()
                _encode(subject, texts, role)
                seconds[name].append(time.perf_counter() - start)
                progress.update()
    found = {}
    for name, subject in subjects.items():
        median = statistics.median(seconds[name])
        tokens = sum(subject.tokens(texts, role))
        found[name] = Speed(texts=len(texts), texts_per_second=len(texts) / median, tokens_per_second=tokens / median)
    return found


def _encode(subject: Subject, texts: list[str], role: Role) -> Any:
    """Encode as sentence-transformers does by itself, behind the prompt of a role; its result is on the CPU."""

    def encode(rows: int) -> Any:
        prompt = subject.prompt(role)
        with autocast(subject.hardware):
            return subject.model.encode(texts, prompt=prompt, batch_size=rows, show_progress_bar=False)

    return in_smaller_batches(_BATCH, encode)
