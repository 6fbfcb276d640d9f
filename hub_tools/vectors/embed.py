"""Stage `embed`: the teacher's vector of every text, computed once, as a dataset on disk (see `dataset`).

Shards depend on nothing but their rows: any process may compute any of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from hub_tools.config import EmbedConfig
from hub_tools.core.distributed import ALONE, Processes
from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware
from hub_tools.core.languages import name_of
from hub_tools.core.limits import Limits, limit_of
from hub_tools.core.logging import bar, log
from hub_tools.core.names import hub_id
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.pairs import Pair
from hub_tools.models.encoder import Encoded, Encoder
from hub_tools.models.loading import load_model, longest_input, prepare_for_speed
from hub_tools.models.prompts import Prompts, choose_prompts
from hub_tools.models.teacher import Teacher
from hub_tools.models.text_pooling import TextPooling
from hub_tools.results import EmbeddingsResult
from hub_tools.vectors.bitext import KNOWS_LANGUAGE, KNOWS_WELL, bitext_accuracy, heldout_pairs
from hub_tools.vectors.dataset import (
    SHARD_ROWS,
    TRAIN,
    VALIDATION,
    Row,
    Shard,
    rows_in,
    shards,
    write_manifest,
    write_shard,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Split of the corpus -> split of the dataset.
_SPLITS = {"heldout": VALIDATION, "train": TRAIN}
# As many texts of a language are held out where there are so many, however few are trained on.
_FEWEST_HELDOUT = 200
# Texts of each target and of English in which tokens are counted.
_COUNTED = 5000
# Characters of a source from which on a pair teaches something to a student that knows both languages.
_LONG = 40
# Computes those of the shards that are not in a folder by other processes, and returns the files of all of them.
Elsewhere: TypeAlias = Callable[[Iterator[Shard], Path, Prompts, TextPooling | None], list[Path]]


def embed(
    teacher: Teacher,
    corpus: Corpus,
    out: Path,
    *,
    targets: tuple[str, ...],
    config: EmbedConfig,
    hardware: Hardware,
    processes: Processes = ALONE,
    elsewhere: Elsewhere | None = None,
) -> EmbeddingsResult:
    """Embed the corpus with the teacher, shard by shard; all processes call this, each computes shards of its own.

    Shards that are in the folder of the stage already are kept. With `elsewhere` that computes what is missing.

    Raises:
        UserError: a vector is not finite (the message names the text), or there is nothing to embed.
    """
    out.mkdir(parents=True, exist_ok=True)
    log.debug("  on %s", hardware)
    model = load_model(teacher.path, device=hardware.device, policy=teacher.policy)
    model.prompts.update(config.prompts)
    prepare_for_speed(model, hardware)
    pairs = heldout_pairs(corpus)
    accuracy = processes.run_on_main(lambda: bitext_accuracy(model, pairs, hardware) if pairs else None)
    left_out = []
    if accuracy is not None and accuracy < KNOWS_LANGUAGE:
        left_out = [targets[0]]  # the language of the pairs
        log.info(
            "  the teacher recognises %.0f %% of the %s translations (< %.0f %%): training on parallel text only",
            100 * accuracy,
            name_of(targets[0]),
            100 * KNOWS_LANGUAGE,
        )
    knows_well = accuracy is not None and accuracy >= KNOWS_WELL
    train = [lang for lang in corpus.languages if lang not in left_out]
    heldout = [lang for lang in train if lang in (*targets, "en")]
    by_length = knows_well and _takes_long_pairs(corpus, config.limits, targets[0])
    languages = {"heldout": heldout, "train": train}
    texts = _Texts(corpus, languages, config.limits, targets[0], are_texts=knows_well, by_length=by_length)
    prompts = choose_prompts(model, config)
    # Of English alone, what a teacher that does not know the target is asked for, the model's own is as good.
    takes_text = config.pooling == "text" and not left_out
    pooling = _pooling(model, corpus, targets) if takes_text else None
    started, kept = time.monotonic(), set(shards(out))
    found = texts.shards(out, prompts)
    if elsewhere is not None:
        files = elsewhere(found, out, prompts, pooling)
        computed = sum(rows_in(file) for file in files if file.exists() and file not in kept)
    else:
        compute = partial(embed_shard, encoder=Encoder(model, hardware, pooling), prompts=prompts, dtype=config.dtype)
        files, computed = _compute(found, texts.total(), compute, processes)
    # The processes take shards in turns, so each computes as many rows as this one.
    rate = round(processes.world_size * computed / (time.monotonic() - started), 1) if computed else None

    def finish() -> EmbeddingsResult:
        _check_shards(files)
        described = _describe(teacher, model, prompts, hardware)
        goal = "own" if knows_well else "source"
        goals = {"pair_goal": goal, "text_pooling": pooling is not None}
        result = write_manifest(out, {**described, **goals, "targets": list(targets)})
        return replace(result, rows_per_second=rate, teacher_bitext_accuracy=accuracy, left_out=left_out)

    return processes.run_on_main(finish)


def _compute(
    found: Iterator[Shard], total: int, compute: Callable[[Shard], None], processes: Processes
) -> tuple[list[Path], int]:
    """Compute the shards of this process that are not there; return the files of all, and how many rows it computed."""
    computed = 0
    files = []
    with bar("vectors", total, " texts") as progress:
        for number, shard in enumerate(found):
            files.append(shard.file)
            # In turns, so that every process has its part of every stretch of the text.
            if number % processes.world_size == processes.rank and not shard.file.exists():
                compute(shard)
                computed += len(shard.rows)
            progress.update(len(shard.rows))
    return files, computed


def embed_shard(shard: Shard, encoder: Encoder, prompts: Prompts, dtype: str) -> None:
    """Compute and write the vectors of a shard, a text that occurs twice once; errors as of `write_shard`."""
    prompted = [(prompts.text_of(row.prompt_name), row.text) for row in shard.rows]
    position = {key: number for number, key in enumerate(sorted(set(prompted)))}
    by_prompt: dict[str, list[str]] = {}
    for prompt, text in position:
        by_prompt.setdefault(prompt, []).append(text)
    encoded = [encoder(texts, prompt) for prompt, texts in by_prompt.items()]
    vectors, tokens = (np.concatenate(columns) for columns in zip(*encoded, strict=True))
    rows = [position[key] for key in prompted]
    write_shard(shard, Encoded(vectors[rows], tokens[rows]), dtype)


def _pooling(model: SentenceTransformer, corpus: Corpus, targets: tuple[str, ...]) -> TextPooling | None:
    """Return how the tokens of a text count for its vector; None where the teacher says it itself."""
    if not TextPooling.fits(model):
        return None
    languages = dict.fromkeys((*targets, "en"))
    return TextPooling.of(
        model, chain.from_iterable(islice(corpus.all_texts(lang, targets), _COUNTED) for lang in languages)
    )


class _Texts(NamedTuple):
    """What is embedded: pairs or their sides, then the monolingual texts of each language, up to their limits.

    Held-out text is a tenth of that, in the same mixture, because the student that is nearest to its goals is the best;
    it is in the languages of the student and English alone.
    """

    corpus: Corpus
    languages: dict[str, list[str]]  # of each split
    limits: Limits
    target: str  # language of the pairs' other side
    are_texts: bool  # whether each side of a pair is a text of its own; otherwise both have the vector of the source
    by_length: bool  # whether pairs are long ones, as many as texts of the target; otherwise all

    def total(self) -> int:
        total = sum(2 if self.are_texts else 1 for split in _SPLITS for _ in self._pairs(split))
        for split, languages in self.languages.items():
            for lang in languages:
                counts, most = self.corpus.result.text[lang], self._limit(lang, split)
                count = counts.train if split == "train" else counts.heldout
                total += count if most is None else min(count, most)
        return total

    def _limit(self, lang: str, split: str) -> int | None:
        most = limit_of(self.limits, lang)
        return most if most is None or split == "train" else min(most, max(_FEWEST_HELDOUT, most // 10))

    def _pairs(self, split: str) -> Iterator[Pair]:
        if not self.by_length:
            return self.corpus.pairs(split)
        most = self._limit(self.target, split)
        every = 1 if most is None else math.ceil(max(1, _count_long(self.corpus, split)) / most)
        return islice(filter(_is_long, self.corpus.pairs(split)), 0, None, every)

    def shards(self, out: Path, prompts: Prompts) -> Iterator[Shard]:
        """Yield all shards, in an order that depends on the corpus alone; one is held at a time."""
        for split, name in _SPLITS.items():
            rows, number = self._rows(split, prompts), 0
            while batch := list(islice(rows, SHARD_ROWS)):
                yield Shard(out / f"{name}-{number:05d}.parquet", name, batch)
                number += 1

    def _rows(self, split: str, prompts: Prompts) -> Iterator[Row]:
        for pair in self._pairs(split):
            if self.are_texts:
                for text, lang in ((pair.source, pair.lang), (pair.target, self.target)):
                    yield Row(text, lang, None, lang, prompts.name_for(text))
            else:
                yield Row(pair.source, pair.lang, pair.target, pair.origin, prompts.name_for(pair.target))
        for lang in self.languages[split]:
            for text in self.corpus.texts(lang, split, self._limit(lang, split)):
                yield Row(text, lang, None, lang, prompts.name_for(text))


def _takes_long_pairs(corpus: Corpus, limits: Limits, target: str) -> bool:
    """Return whether pairs, which teach a student little that knows both languages, are taken by their length.

    All are taken where none is long, or where they are all that there is.
    """
    return limit_of(limits, target) != 0 and _count_long(corpus, "train") > 0


def _count_long(corpus: Corpus, split: str) -> int:
    return sum(1 for _ in filter(_is_long, corpus.pairs(split)))


def _is_long(pair: Pair) -> bool:
    return len(pair.source) >= _LONG


def _check_shards(files: list[Path]) -> None:
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(files)} shards were computed elsewhere and are not in {files[0].parent}, "
            f"{missing[0]} among them. Several machines need a run folder that all of them see. Run the same command "
            "again where the shards are: only what is missing is computed."
        )


def _describe(teacher: Teacher, model: SentenceTransformer, prompts: Prompts, hardware: Hardware) -> dict[str, Any]:
    """Return what the manifest says of how the vectors were made."""
    modes: list[Any] = [module.pooling_mode for module in model if hasattr(module, "pooling_mode")]
    poolings = [mode if isinstance(mode, str) else ", ".join(mode) for mode in modes]
    return {
        # A folder's place on this machine is nobody's business: the manifest is published.
        "teacher": hub_id(teacher.name, teacher.revision) or Path(teacher.name).name,
        "revision": teacher.revision,
        "precision": hardware.precision,
        "max_seq_length": longest_input(model),
        "truncation_side": str(getattr(model.tokenizer, "truncation_side", "right")),
        "pooling": next(iter(poolings), None),
        "prompts": prompts.texts,
        "default_prompt_name": prompts.default,
        "prompting": prompts.rule(),
    }
