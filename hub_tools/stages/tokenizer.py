"""Stage `tokenizer`: the teacher's vocabulary pruned, the target's learned, exactly V tokens; or a ready tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

from hub_tools.config import TokenizerConfig
from hub_tools.core.files import write_json
from hub_tools.core.languages import WITHOUT_SPACES, name_of
from hub_tools.core.logging import log
from hub_tools.core.plain import to_plain
from hub_tools.corpus.build import Corpus
from hub_tools.models.sizes import with_model_sizes
from hub_tools.models.teacher import Teacher
from hub_tools.models.tokenizer import read_ready_tokenizer, read_teacher_tokenizer
from hub_tools.reporting.tables import sizes_rows, terminal_table
from hub_tools.results import TokenizerResult
from hub_tools.stages.base import Finished, Stage, neutral
from hub_tools.stages.job import Job, ReadyTokenizer
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.make import make_tokenizer, use_tokenizer

# What was measured of the tokenizers, in the folder of the stage.
STATS = "stats.json"
# Held-out pairs that the parity is measured on.
_PAIRS = 1000


@dataclass(frozen=True, kw_only=True)
class TokenizerStage(Stage):
    """Make the student's tokenizer; one that is ready is used as it is, and measured on the corpus.

    `prompts` are those that the teacher's files do not name.
    """

    name, folder, other_sections = "tokenizer", "tokenizer", ("embed",)

    teacher: Teacher
    corpus: Finished
    targets: tuple[str, ...]
    prompts: dict[str, str]
    ready: ReadyTokenizer | None
    config: TokenizerConfig
    # They change no tokenizer, only how large the student would be with it.
    layers: tuple[int, ...] = neutral()
    static: bool = neutral()

    @classmethod
    def of(cls, job: Job, done: Mapping[str, Finished]) -> Self:
        stage = super().of(job, done)
        # A ready tokenizer is known by its files, not by where they are.
        return replace(stage, config=replace(stage.config, use=None))

    def work(self, out: Path) -> TokenizerResult:
        corpus = Corpus(self.corpus.path)
        teacher = read_teacher_tokenizer(self.teacher, corpus)
        prompts = [*self.teacher.prompts.values(), *self.prompts.values()]
        longest = self.teacher.max_seq_length
        unseen = {lang: corpus.unseen(lang, self.targets[0]) for lang in corpus.languages}
        measured: dict[str, Any] = {
            "samples": {lang: list(dict.fromkeys([*own, *corpus.sample(lang)])) for lang, own in unseen.items()},
            "pairs": [(pair.source, pair.target) for pair in islice(corpus.pairs("heldout"), _PAIRS)],
        }
        if self.ready is not None:
            ready = read_ready_tokenizer(self.ready.path, self.teacher)
            result = use_tokenizer(teacher, ready, out, max_seq_length=longest, prompts=prompts, **measured)
            return replace(result, revision=self.ready.revision)
        # A target may have its side of the parallel text alone.
        languages = dict.fromkeys((*corpus.languages, *self.targets))
        pairs = corpus.result.parallel
        counts = [*corpus.result.text.values(), *(pairs for lang in self.targets if pairs and lang in pairs.languages)]
        adaptation = Adaptation(
            teacher,
            {lang: partial(corpus.all_texts, lang, self.targets) for lang in languages},
            targets=self.targets,
            config=self.config,
            prompts=prompts,
            max_seq_length=longest,
            text_count=sum(count.train for count in counts),
        )
        result = make_tokenizer(adaptation, out, unseen={lang: len(own) for lang, own in unseen.items()}, **measured)
        if result.sizes:
            sizes = with_model_sizes(result.sizes, self.teacher, self.layers, static=self.static)
            result = replace(result, sizes=sizes)
            table = terminal_table(sizes_rows(result.sizes, result.vocab_size))
            log.debug("  what the teacher's own tokens cost in vocabularies of several sizes:\n%s", table)
        write_json(out / STATS, to_plain(result))  # for the stage that chooses among them
        return result

    def outcome(self, result: TokenizerResult) -> str:
        made = f"{result.vocab_size:,} tokens: {result.kept:,} of the teacher's, {result.added:,} learned"
        counts = result.fertility.get(self.targets[0])
        if counts is None or (self.targets[0], "teacher") in result.unread:
            return made
        unit = "character" if self.targets[0] in WITHOUT_SPACES else "word"
        name = name_of(self.targets[0])
        return f"{made}; {counts['teacher']:.2f} -> {counts['student']:.2f} tokens a {unit} of {name}"
