"""Stage `corpus`: real text in the target language and the others, balanced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hub_tools.config_scale import ScaleConfig
from hub_tools.core.limits import Limits
from hub_tools.corpus.build import build_corpus
from hub_tools.corpus.pairs import HubPairs
from hub_tools.corpus.shards import TASKS, CutTask
from hub_tools.corpus.sources import Source
from hub_tools.evaluation.mteb_tasks import AnyTask
from hub_tools.evaluation.tasks import evaluation_texts
from hub_tools.models.teacher import Teacher
from hub_tools.models.tokenizer import read_teacher_tokenizer
from hub_tools.results import CorpusResult
from hub_tools.stages.base import Stage, neutral, through_data
from hub_tools.stages.job import HashedFile
from hub_tools.vectors.executors import run_tasks, watching


@dataclass(frozen=True, kw_only=True)
class CorpusStage(Stage):
    """Collect, clean and split the text, without that of the tasks; the teacher's tokenizer cuts long texts."""

    name, folder, other_sections = "corpus", "corpus", ("evaluate",)
    leftovers = (TASKS,)  # the shards that tasks of other processes read

    teacher: Teacher
    targets: tuple[str, ...]
    languages: tuple[str, ...]
    sources: tuple[Source, ...]
    parallel: tuple[HashedFile | HubPairs, ...]
    limits: Limits
    seed: int
    tasks: tuple[AnyTask, ...] = through_data()
    scale: ScaleConfig = neutral()

    def work(self, out: Path) -> CorpusResult:
        return build_corpus(
            out,
            list(self.sources),
            [table.path if isinstance(table, HashedFile) else table for table in self.parallel],
            targets=self.targets,
            languages=self.languages,
            limits=self.limits,
            seed=self.seed,
            tokenizer=read_teacher_tokenizer(self.teacher).load(),
            max_tokens=self.teacher.max_seq_length,
            evaluation=evaluation_texts(self.tasks, self.targets),
            run=self._run if self.scale.reads_text else None,
        )

    def _run(self, task: CutTask, files: list[Path]) -> None:
        with watching(task.folder, (file.name for file in files), task.texts.name):
            run_tasks(self.scale, task, len(files), str(task.folder / "logs"))

    def outcome(self, result: CorpusResult) -> str:
        texts, pairs = sum(text.kept for text in result.text.values()), result.parallel
        of_pairs = f" and {pairs.kept:,} pairs" if pairs else ""
        return f"{texts:,} texts in {len(result.languages)} languages{of_pairs}"
