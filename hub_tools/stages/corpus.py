"""Stage `corpus`: real text in the target language and the others, balanced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub_tools.corpus.sources import Source
from hub_tools.models.teacher import Teacher
from hub_tools.results import CorpusResult
from hub_tools.stages.base import Finished, Stage
from hub_tools.stages.job import HashedFile, Job


@dataclass(frozen=True, kw_only=True)
class CorpusInputs:
    """What the corpus is made of; the teacher's tokenizer cuts long texts."""

    teacher: Teacher
    languages: tuple[str, ...]
    sources: tuple[Source, ...]
    parallel: tuple[HashedFile, ...]
    limit: int | None
    seed: int


class CorpusStage(Stage[CorpusInputs]):
    """Collect, clean and split the text."""

    name, folder, sections = "corpus", "corpus", ("corpus",)
    needs = ()

    def inputs(self, job: Job, done: Mapping[str, Finished]) -> CorpusInputs:
        return CorpusInputs(
            teacher=job.teacher,
            languages=job.languages,
            sources=job.sources,
            parallel=job.parallel,
            limit=job.config.corpus.limit,
            seed=job.config.seed,
        )

    def work(self, inputs: CorpusInputs, out: Path) -> CorpusResult:
        from hub_tools.corpus.build import build_corpus
        from hub_tools.models.tokenizer import read_model_tokenizer

        return build_corpus(
            out,
            list(inputs.sources),
            [file.path for file in inputs.parallel],
            languages=inputs.languages,
            limit=inputs.limit,
            seed=inputs.seed,
            tokenizer=read_model_tokenizer(inputs.teacher.input_folder).load(),
            max_tokens=inputs.teacher.max_seq_length,
        )
