"""What is found out before any work: the teacher, the texts, the files and the hardware of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hub_tools.cloning.clone import check_clonable
from hub_tools.cloning.layers import check_layers, find_stack
from hub_tools.config import CPU_TEXTS, RunConfig
from hub_tools.core.distributed import ALONE, Processes
from hub_tools.core.errors import UserError
from hub_tools.core.files import hash_file
from hub_tools.core.hardware import Hardware, choose_device, choose_hardware
from hub_tools.core.languages import balanced_languages
from hub_tools.core.limits import OTHERS, write_limits
from hub_tools.core.plain import to_plain
from hub_tools.core.run_record import RunRecord, read_record
from hub_tools.corpus.pairs import HubPairs, find_hub_pairs
from hub_tools.corpus.readers import TABLES, find_files
from hub_tools.corpus.sources import DEFAULT_SOURCE, Source, find_sources
from hub_tools.evaluation.mteb_tasks import AnyTask, chosen_tasks
from hub_tools.evaluation.tasks import Task, evaluation_texts
from hub_tools.finetuning.data import Labelled, check_something_left, read_labelled
from hub_tools.models.loading import LoadPolicy
from hub_tools.models.resolve import find_teacher, find_tokenizer
from hub_tools.models.teacher import STATIC, Teacher
from hub_tools.tokenization.tokenizer_json import TOKENIZER_FILES
from hub_tools.training.trainer import check_matryoshka
from hub_tools.vectors.executors import check_installed
from hub_tools.vectors.imported import ImportedEmbeddings, find_embeddings


@dataclass(frozen=True, kw_only=True)
class HashedFile:
    """A file of the user's, known by its name and content."""

    path: Path

    @property
    def identity(self) -> list[str]:
        """Name and hash."""
        return [self.path.name, hash_file(self.path)]


@dataclass(frozen=True)
class ReadyTokenizer:
    """A tokenizer that is used as it is; `revision` is its commit on the Hub."""

    path: Path
    revision: str | None

    @property
    def identity(self) -> list[list[str]]:
        """Hashes of the tokenizer's own files; other files may lie beside them in the Hub's cache."""
        files = (self.path / name for name in TOKENIZER_FILES)
        return [[file.name, hash_file(file)] for file in files if file.exists()]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A configuration, and what its names stand for."""

    config: RunConfig
    teacher: Teacher
    languages: tuple[str, ...]
    sources: tuple[Source, ...]
    parallel: tuple[HashedFile | HubPairs, ...]
    tasks: tuple[AnyTask, ...]  # of the user's files, then those of mteb
    ready: ReadyTokenizer | None
    imported: ImportedEmbeddings | None
    labelled: tuple[Labelled, ...]  # data to train on after the distillation
    hardware: Hardware
    processes: Processes
    has_weights: bool = True  # whether the teacher's are on this machine

    def of(self, config: RunConfig) -> Job:
        """Return the job of another student, in which all else is the same; what cannot be made is a UserError."""
        checked = _checked(config, self.teacher, has_weights=self.has_weights)
        return replace(self, config=_for_device(checked, self.hardware.device))

    @property
    def inputs(self) -> dict[str, Any]:
        """What stages may read, by the names of their fields."""
        return {
            **vars(self),
            "target": self.config.target,
            "targets": self.config.targets,
            "limits": self.config.corpus.limits,
            "seed": self.config.seed,
            "init": self.config.clone.init,
            "layers": self.config.clone.layers,
            "static": self.config.clone.static,
            "prompts": self.config.embed.prompts,
            "dtype": self.config.embed.dtype,
            "max_tokens": self.config.evaluate.max_tokens,
            "lengths": self.config.finetune.matryoshka or self.config.distill.matryoshka,
            "own_vectors": self.imported is None,
            # Who says how many tokens to learn gets them.
            "chooses_split": self.config.tokenizer.learn is None and self.config.tokenizer.keep is None,
            "mteb_results": bool(self.config.evaluate.mteb),
            "policy": self.teacher.policy,
            "legal_files": tuple(HashedFile(path=file) for file in self.teacher.legal_files),
            "teacher_license": self.teacher.license,
            "device": self.hardware.device,
            "asked_device": self.config.device,
            "scale": self.config.scale,
            "precision": self.hardware.precision,
        }


def prepare(
    config: RunConfig,
    *,
    tokenizer_only: bool = False,
    plan_only: bool = False,
    fresh: bool = False,
    processes: Processes = ALONE,
) -> Job:
    """Find everything that a configuration names.

    With `tokenizer_only` any model with a fast tokenizer will do, and its weights are not fetched; with `plan_only` no
    weights are fetched and nothing is timed; `fresh` forgets the hardware that an earlier run chose. What does not
    exist, cannot be read or does not fit the rest is a UserError.
    """
    policy = LoadPolicy(code=config.trust_remote_code, pickle=config.allow_pickle)
    teacher = find_teacher(config.teacher, policy=policy, tokenizer_only=tokenizer_only, weights=not plan_only)
    has_weights = not (tokenizer_only or plan_only)
    if has_weights:
        check_clonable(teacher)
    checked = _checked(config, teacher, has_weights=has_weights)
    # A table that cannot be read is refused now, not after the training.
    tasks = chosen_tasks(config.evaluate, config.lang, load=not plan_only)
    _check_executor(config, teacher, processes)
    if config.finetune.is_asked and processes.world_size > 1:
        raise UserError(
            "Training with labels runs in one process. Run `hub-distill distill` in several and then the whole command "
            "in one: finished stages are used again."
        )
    labelled = read_labelled(config.finetune, config.lang, fetch=not plan_only)
    # In a plan tasks of mteb have no texts.
    _check_labelled(labelled, [task for task in tasks if not plan_only or isinstance(task, Task)], config.targets)
    specs, languages = config.corpus.sources or (DEFAULT_SOURCE,), balanced_languages(config.lang)
    # What `auto` chooses is timed, and all processes must choose alike.
    hardware = (
        Hardware(device=choose_device(config.device), precision=config.precision)
        if plan_only
        else processes.run_on_main(lambda: _find_hardware(config, fresh=fresh))
    )
    return Job(
        config=_for_device(checked, hardware.device),
        teacher=teacher,
        languages=languages,
        sources=tuple(source for spec in specs for source in find_sources(spec, languages, config.seed)),
        parallel=tuple(table for name in config.corpus.parallel for table in _find_pairs(name)),
        tasks=tuple(tasks),
        ready=ReadyTokenizer(*find_tokenizer(config.tokenizer.use)) if config.tokenizer.use is not None else None,
        imported=find_embeddings(config.embed) if config.embed.use else None,
        labelled=labelled,
        hardware=hardware,
        processes=processes,
        has_weights=has_weights,
    )


def _checked(config: RunConfig, teacher: Teacher, *, has_weights: bool) -> RunConfig:
    """Refuse a student that cannot be; return its configuration, without --layers that are all of the teacher's.

    Without weights the teacher's layers are not looked at.
    """
    _check_training(config, teacher)
    teacher.reads(config.evaluate.max_tokens)
    asked = config.clone.layers
    if not asked or not has_weights:
        return config
    stack = find_stack(teacher)
    check_layers(stack, asked, teacher.name)
    is_whole = asked in ((len(stack),), tuple(range(len(stack))))
    return replace(config, clone=replace(config.clone, layers=())) if is_whole else config


def _for_device(config: RunConfig, device: str) -> RunConfig:
    """Return the configuration with as many texts to embed as a CPU reads in minutes, if it does not say how many."""
    is_here = config.scale.executor in (None, "local")
    if device != "cpu" or not is_here or config.embed.distill_limit is not None or config.embed.use is not None:
        return config
    most = dict.fromkeys((*config.lang, "en"), CPU_TEXTS) | {OTHERS: CPU_TEXTS // 40}
    return replace(config, embed=replace(config.embed, distill_limit=write_limits(most)))


def _find_hardware(config: RunConfig, *, fresh: bool) -> Hardware:
    """Return what `auto` chose when vectors were first computed, or choose: another timing must not throw work away."""
    remembered = {} if fresh else read_record(config.output).hardware or {}
    if remembered.get("asked") == [config.device, config.precision]:
        return Hardware(**remembered["chosen"])
    return choose_hardware(config.device, config.precision)


def remember(config: RunConfig, record: RunRecord, hardware: Hardware) -> RunRecord:
    """Return the record with the hardware that was chosen."""
    return replace(record, hardware={"asked": [config.device, config.precision], "chosen": to_plain(hardware)})


def _check_training(config: RunConfig, teacher: Teacher) -> None:
    """Refuse what the training cannot do before anything is computed for it."""
    if teacher.dim is not None:
        check_matryoshka(config.distill.matryoshka, teacher.dim)
        check_matryoshka(config.finetune.matryoshka, teacher.dim, "--finetune-matryoshka")
    if config.distill.tensorboard and find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs a package that is not installed. Run: pip install tensorboard")
    if config.clone.static and teacher.input_type == STATIC:
        raise UserError(f"--static: {teacher.name} is static itself, and so is its student. Leave it out.")
    if config.distill.gradient_checkpointing and (config.clone.static or teacher.input_type == STATIC):
        raise UserError("--gradient-checkpointing: a static student has no layers to compute again. Leave it out.")


def _check_labelled(labelled: Sequence[Labelled], tasks: Sequence[AnyTask], targets: tuple[str, ...]) -> None:
    """Refuse labels that are all measured on, before hours of work and not after them."""
    if labelled:
        evaluation = evaluation_texts(tasks, targets)
        for one in labelled:
            check_something_left(one, evaluation)


def _check_executor(config: RunConfig, teacher: Teacher, processes: Processes) -> None:
    """Refuse what tasks of other processes cannot do."""
    check_installed(config.scale)
    executor = config.scale.executor
    if executor and processes.world_size > 1:
        raise UserError("--executor starts processes of its own. Leave out accelerate launch or torchrun.")
    if executor == "jobs" and teacher.revision is None:
        raise UserError(f"--executor jobs: {teacher.name} is on this machine, where Jobs cannot see it.")


def _find_pairs(spec: str) -> list[HashedFile | HubPairs]:
    """Return the tables that a --parallel value stands for: files, or a dataset of the Hub."""
    if pairs := find_hub_pairs(spec):
        return [pairs]
    return [HashedFile(path=path) for path in find_files("--parallel", spec, TABLES)]
