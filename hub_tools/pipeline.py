"""The whole job, stage by stage, in one run folder; of several students, a run folder for each inside."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from hub_tools.config import RunConfig
from hub_tools.core.distributed import init_processes
from hub_tools.core.logging import log, log_to
from hub_tools.core.plain import changed
from hub_tools.core.run_dir import RunDir
from hub_tools.core.run_record import read_record
from hub_tools.hub.publish import check_before, publish
from hub_tools.reporting.report import Report
from hub_tools.reporting.students import read_students, write_students
from hub_tools.reporting.text import write_report
from hub_tools.stages.base import Finished, Stage
from hub_tools.stages.clone import CloneStage
from hub_tools.stages.corpus import CorpusStage
from hub_tools.stages.distill import DistillStage
from hub_tools.stages.embed import EmbedStage, ImportStage
from hub_tools.stages.evaluate import EvaluateFinetunedStage, EvaluateStage
from hub_tools.stages.finetune import FinetuneStage
from hub_tools.stages.job import Job, prepare, remember
from hub_tools.stages.tokenizer import TokenizerStage


def stages_until(last: str, config: RunConfig) -> list[type[Stage]]:
    """Return the stages that a command does, in their order: the last one and those that it reads."""
    embed = ImportStage if config.embed.use else EmbedStage
    stages: list[type[Stage]] = [CorpusStage, TokenizerStage, CloneStage, embed, DistillStage]
    stages += [FinetuneStage, EvaluateFinetunedStage] if config.finetune.is_asked else [EvaluateStage]
    needed = {stage.folder for stage in stages if last in (stage.name, "publish")}
    for stage in reversed(stages):
        if stage.folder in needed:
            needed |= {item.name for item in fields(stage)}
    return [stage for stage in stages if stage.folder in needed]


def run(config: RunConfig, *, last: str = "publish", fresh: bool = False) -> Report:
    """Do the job up to a stage, and use what is finished unless it is to be `fresh`.

    `publish` is the whole job; it pushes only where the configuration says so. In the report, sections of stages that
    did not run are None. Of several students it has the table that compares them.

    Raises:
        HubToolsError: something that the user can correct.
    """
    processes = init_processes(config.device)
    folders = {stage.folder for stage in stages_until(last, config)}
    pushes = last == "publish" and config.publish.namespace is not None
    if pushes:
        check_before(config)
    job = prepare(config, tokenizer_only=folders <= {"corpus", "tokenizer"}, fresh=fresh, processes=processes)
    report = _run(config, job, last=last, fresh=fresh)
    if pushes and processes.is_main:
        for url in publish(config.output, {"tag": config.publish.tag}):
            log.info("%s", url)
    return report


def _run(config: RunConfig, job: Job, *, last: str, fresh: bool) -> Report:
    """Do the stages of a run, or what several students share and then the run of each; write the report."""
    out, processes, stages = config.output, job.processes, stages_until(last, config)
    folders = {stage.folder for stage in stages}
    # What one of them cannot be is refused before the work for all.
    students = [(student, job.of(student)) for student in config.students.values()]
    own_stages = [stage for stage in stages if not students or stage in _SHARED]
    with (
        RunDir(out, config.to_toml(), fresh=fresh, processes=processes) as run_dir,
        log_to(out / "log.txt" if processes.is_main else None),
    ):
        lasting = _lasting(config, whole=last == "publish")
        names = tuple(config.students)
        run_dir.update_record(lambda record: replace(record, students=names).with_publish(lasting))
        if not folders.isdisjoint({"embeddings", "student"}):
            run_dir.update_record(lambda record: remember(config, record, job.hardware))
        done: dict[str, Finished] = {}
        for number, stage in enumerate(own_stages, 1):
            title = f"[{number}/{len(own_stages)}] {stage.name}"
            done[stage.folder] = stage.of(job, done).run(job, run_dir, title)
        for student, own_job in students if len(own_stages) < len(stages) else []:
            log.info("student %s", student.output.name, extra={"style": "bold"})
            _run(student, own_job, last=last, fresh=fresh)
        if students and "evaluation" in folders:
            report = processes.run_on_main(lambda: read_students(out))
        else:
            made = {stage.folder for stage in own_stages}
            report = processes.run_on_main(lambda: Report.from_record(read_record(out).only(made), out))
        if processes.is_main:
            (write_students if report.students else write_report)(out, report)
    return report


# What several students have in common: it is the same whatever their tokens and layers.
_SHARED = (CorpusStage, EmbedStage)


def _lasting(config: RunConfig, *, whole: bool) -> dict[str, Any]:
    """Return the options of publishing that a later `publish` follows too; a stage alone can only make a run private.

    A tag names one published state, so it does not last.
    """
    options = {name: value for name, value in changed(config.publish).items() if name != "tag"}
    return options if whole else {name: value for name, value in options.items() if name == "private"}
