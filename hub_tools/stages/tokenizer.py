"""Stage `tokenizer`: the teacher's vocabulary pruned, the target's learned, exactly V tokens; or a ready tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hub_tools.config import TokenizerConfig
from hub_tools.corpus.build import Corpus
from hub_tools.models.teacher import Teacher
from hub_tools.results import TokenizerResult
from hub_tools.stages.base import Finished, Stage
from hub_tools.stages.job import Job, ReadyTokenizer


@dataclass(frozen=True, kw_only=True)
class TokenizerInputs:
    """What the tokenizer is made of; `ready` is used as it is, and measured on the corpus."""

    teacher: Teacher
    corpus: Finished
    target: str
    ready: ReadyTokenizer | None
    config: TokenizerConfig


class TokenizerStage(Stage[TokenizerInputs]):
    """Make the student's tokenizer."""

    name, folder, sections = "tokenizer", "tokenizer", ("tokenizer",)
    needs = ("corpus",)

    def inputs(self, job: Job, done: Mapping[str, Finished]) -> TokenizerInputs:
        return TokenizerInputs(
            teacher=job.teacher,
            corpus=done["corpus"],
            target=job.config.target,
            ready=job.ready_tokenizer,
            # A ready tokenizer is known by its files, not by where they are.
            config=replace(job.config.tokenizer, use=None),
        )

    def work(self, inputs: TokenizerInputs, out: Path) -> TokenizerResult:
        from hub_tools.tokenization.adapt import make_tokenizer, use_tokenizer

        corpus, limit = Corpus(inputs.corpus.path), inputs.teacher.max_seq_length
        teacher = inputs.teacher.tokenizer_spec()
        if inputs.ready is not None:
            result = use_tokenizer(teacher, inputs.ready.path, corpus, out, max_seq_length=limit)
            return replace(result, revision=inputs.ready.revision)
        return make_tokenizer(teacher, corpus, out, target=inputs.target, config=inputs.config, max_seq_length=limit)
