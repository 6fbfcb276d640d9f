"""Stage `embed`: the teacher's vectors for the corpus, once, on disk; or vectors that others computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub_tools.config import EmbedConfig, VectorType
from hub_tools.core.distributed import Processes
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus
from hub_tools.models.teacher import Teacher
from hub_tools.results import EmbeddingsResult
from hub_tools.stages.base import Finished, Stage, neutral
from hub_tools.stages.job import Job
from hub_tools.vectors.imported import ImportedEmbeddings


@dataclass(frozen=True, kw_only=True)
class EmbedInputs:
    """What the vectors are computed from."""

    teacher: Teacher
    corpus: Finished
    target: str
    config: EmbedConfig
    precision: str
    device: str = neutral()
    processes: Processes = neutral()


class EmbedStage(Stage[EmbedInputs]):
    """Compute the teacher's vectors of the text."""

    name, folder, sections = "embed", "embeddings", ("embed",)
    needs = ("corpus",)
    all_ranks = True

    def inputs(self, job: Job, done: Mapping[str, Finished]) -> EmbedInputs:
        return EmbedInputs(
            teacher=job.teacher,
            corpus=done["corpus"],
            target=job.config.target,
            config=job.config.embed,
            precision=job.hardware.precision,
            device=job.hardware.device,
            processes=job.processes,
        )

    def work(self, inputs: EmbedInputs, out: Path) -> EmbeddingsResult:
        from hub_tools.vectors.embed import embed

        return embed(
            inputs.teacher,
            Corpus(inputs.corpus.path),
            out,
            target=inputs.target,
            config=inputs.config,
            hardware=Hardware(device=inputs.device, precision=inputs.precision),
            processes=inputs.processes,
        )


@dataclass(frozen=True, kw_only=True)
class ImportInputs:
    """Vectors that others computed, and the clone that they have to fit; one text is embedded to compare them."""

    teacher: Teacher
    imported: ImportedEmbeddings
    clone: Finished
    target: str
    dtype: VectorType
    hardware: Hardware = neutral()


class ImportStage(Stage[ImportInputs]):
    """Bring vectors that others computed into the form that training reads."""

    name, folder, sections = "embed", "embeddings", ("embed",)
    needs = ("corpus", "tokenizer", "clone")

    def inputs(self, job: Job, done: Mapping[str, Finished]) -> ImportInputs:
        if job.imported is None:
            raise ValueError("This stage needs --embeddings.")
        return ImportInputs(
            teacher=job.teacher,
            imported=job.imported,
            clone=done["clone"],
            target=job.config.target,
            dtype=job.config.embed.dtype,
            hardware=job.hardware,
        )

    def work(self, inputs: ImportInputs, out: Path) -> EmbeddingsResult:
        from hub_tools.vectors.imported import import_embeddings

        return import_embeddings(
            inputs.imported,
            out,
            clone=inputs.clone.path,
            lang=inputs.target,
            dtype=inputs.dtype,
            hardware=inputs.hardware,
            policy=inputs.teacher.policy,
        )
