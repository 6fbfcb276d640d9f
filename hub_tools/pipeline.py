"""The whole job, stage by stage, in one run folder."""

from __future__ import annotations

import dataclasses
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_tools.config import STEP_TOKENS, RunConfig, config_values, to_toml
from hub_tools.core.distributed import ALONE, Processes, init_processes
from hub_tools.core.errors import UserError
from hub_tools.core.files import digest, hash_file, read_json, write_json
from hub_tools.core.languages import balanced_languages
from hub_tools.core.logging import close_logging, log, start_logging
from hub_tools.core.plain import to_plain
from hub_tools.core.run_dir import CacheKey, RunDir
from hub_tools.core.versions import versions
from hub_tools.corpus.sources import DEFAULT_SOURCE, Source, find_sources
from hub_tools.hub.publish import check_access, chosen_ids, publish
from hub_tools.models.teacher import STATIC, Teacher, find_teacher, find_tokenizer
from hub_tools.vectors.imported import find_embeddings

if TYPE_CHECKING:
    from hub_tools.core.hardware import Hardware

STAGES = ("corpus", "tokenizer", "clone", "embed", "distill", "evaluate")
_NEEDS = {
    "corpus": (),
    "tokenizer": ("corpus",),
    "clone": ("corpus", "tokenizer"),
    "embed": ("corpus",),
    "distill": ("corpus", "tokenizer", "clone", "embed"),
    "evaluate": ("corpus", "tokenizer", "clone", "embed", "distill"),
    "publish": STAGES,
}
# Raise when a stage would make other files of the same inputs.
_VERSION = 4
_HARDWARE = ".hardware.json"


def run(config: RunConfig, *, last: str = "publish", fresh: bool = False) -> dict[str, Any]:
    """Do the job up to a stage, using again what is finished.

    Args:
        config: the options.
        last: the stage wanted; those it needs come first. `publish` pushes only where the config says so.
        fresh: forget what is finished.

    Returns:
        The report (see `hub_tools.reporting.text`); sections of stages that did not run are null.

    Raises:
        HubToolsError: something the user can mend.
    """
    processes = init_processes(config.device)
    start_logging(quiet=not processes.is_main)
    pushes = last == "publish" and config.publish.namespace is not None
    if pushes:
        check_access(config.publish, chosen_ids(config))
    wanted = [stage for stage in STAGES if stage in (*_needs(config, last), last)]
    job = Job(config, tokenizer_only=last in ("corpus", "tokenizer"), fresh=fresh, processes=processes)
    with RunDir(config.output, to_toml(config), fresh=fresh, processes=processes) as folder:
        if processes.is_main:
            start_logging(folder.root / "log.txt")
            if {"embed", "distill"} & set(wanted):
                _remember_hardware(config, job.hardware)
        try:
            results = {stage: getattr(job, stage)(folder) for stage in wanted}
            report = processes.run_on_main(lambda: job.report(folder, results))
        finally:
            close_logging()
    if pushes and processes.is_main:
        start_logging()
        for url in publish(config.output, {}):
            log.info("%s", url)
    return report


class Job:
    """A configuration with everything that is found out before work begins. One method a stage."""

    def __init__(
        self, config: RunConfig, *, tokenizer_only: bool = False, fresh: bool = False, processes: Processes = ALONE
    ) -> None:
        from hub_tools.core.hardware import choose_hardware
        from hub_tools.evaluation.evaluate import read_sts
        from hub_tools.models.loading import LoadPolicy

        self.config, self.processes = config, processes
        self.languages = balanced_languages(config.lang)
        specs = config.corpus.sources or (DEFAULT_SOURCE,)
        self.sources: list[Source] = [s for spec in specs for s in find_sources(spec, self.languages, config.seed)]
        self.parallel = _files("--parallel", config.corpus.parallel)
        self.sts = _files("--sts", config.evaluate.sts)
        policy = LoadPolicy(code=config.trust_remote_code, pickle=config.allow_pickle)
        self.teacher: Teacher = find_teacher(config.teacher, policy=policy, tokenizer_only=tokenizer_only)
        self.ready_tokenizer = find_tokenizer(config.tokenizer.use) if config.tokenizer.use is not None else None
        for file in self.sts:
            read_sts(file)  # a table that cannot be read is said now, not after the training
        self.ready = find_embeddings(config.embed) if config.embed.use else None
        _check_training(config, self.teacher)
        # What `auto` chooses is timed, and all processes must choose alike.
        self.hardware = processes.run_on_main(
            lambda: (
                (None if fresh else _remembered_hardware(config)) or choose_hardware(config.device, config.precision)
            )
        )
        self.digests: dict[str, str] = {}

    def corpus(self, folder: RunDir) -> dict[str, Any]:
        """Real text in the target language and the others, balanced."""
        from hub_tools.corpus.build import build_corpus
        from hub_tools.tokenization.tokenizer_json import TokenizerSpec

        key: CacheKey = {
            "teacher": self.teacher.fingerprint,
            "languages": self.languages,
            "corpus files": [[s.lang, s.identity] for s in self.sources],
            "parallel files": [hash_file(file) for file in self.parallel],
            "limit": self.config.corpus.limit,
            "seed": self.config.seed,
        }
        return self._stage(
            folder,
            "corpus",
            key,
            lambda out: build_corpus(
                out,
                self.sources,
                self.parallel,
                languages=self.languages,
                limit=self.config.corpus.limit,
                seed=self.config.seed,
                tokenizer=TokenizerSpec.read(self.teacher.input_folder).load(),
                max_tokens=self.teacher.max_seq_length,
            ),
        )

    def tokenizer(self, folder: RunDir) -> dict[str, Any]:
        """Prune the teacher's vocabulary, learn the target's, exactly V tokens."""
        from hub_tools.corpus.build import Corpus
        from hub_tools.tokenization.adapt import make_tokenizer, use_tokenizer
        from hub_tools.tokenization.tokenizer_json import TokenizerSpec

        config, limit = self.config.tokenizer, self.teacher.max_seq_length
        theirs = TokenizerSpec.read(self.teacher.input_folder)
        if self.ready_tokenizer is not None:
            ready, commit = self.ready_tokenizer
            files = [hash_file(file) for file in sorted(ready.glob("*.json"))]
            key: CacheKey = {
                "tokenizer files": files,
                "teacher": self.teacher.fingerprint,
                "corpus": self.digests["corpus"],
            }
            return self._stage(
                folder,
                "tokenizer",
                key,
                lambda out: {
                    **use_tokenizer(theirs, ready, Corpus(folder.path("corpus")), out, max_seq_length=limit),
                    "revision": commit,
                },
            )
        key = {
            "teacher": self.teacher.fingerprint,
            "corpus": self.digests["corpus"],
            "target": self.config.target,
            "tokenizer": dataclasses.asdict(config),
        }
        return self._stage(
            folder,
            "tokenizer",
            key,
            lambda out: make_tokenizer(
                theirs,
                Corpus(folder.path("corpus")),
                out,
                target=self.config.target,
                config=config,
                max_seq_length=limit,
            ),
        )

    def clone(self, folder: RunDir) -> dict[str, Any]:
        """Teacher weights and new embedding rows: a student that already works."""
        from hub_tools.cloning.clone import clone
        from hub_tools.corpus.build import Corpus

        key: CacheKey = {
            "teacher": self.teacher.fingerprint,
            "tokenizer": self.digests["tokenizer"],
            "corpus": self.digests["corpus"],
            "init": self.config.clone.init,
            "prompts": self.config.embed.prompts,
            "target": self.config.target,
        }
        return self._stage(
            folder,
            "clone",
            key,
            lambda out: clone(
                self.teacher,
                folder.path("tokenizer"),
                Corpus(folder.path("corpus")),
                out,
                init=self.config.clone.init,
                target=self.config.target,
                prompts=self.config.embed.prompts,
            ),
        )

    def embed(self, folder: RunDir) -> dict[str, Any]:
        """The teacher's vectors for the corpus, once, on disk; or vectors that others computed."""
        from hub_tools.corpus.build import Corpus
        from hub_tools.vectors.embed import embed
        from hub_tools.vectors.imported import import_embeddings

        config = self.config.embed
        if self.ready is not None:
            ready = self.ready
            key: CacheKey = {"teacher": self.teacher.fingerprint, "vectors": ready.identity, "dtype": config.dtype}
            return self._stage(
                folder,
                "embeddings",
                key,
                lambda out: import_embeddings(
                    ready,
                    out,
                    clone=folder.path("clone"),
                    lang=self.config.target,
                    dtype=config.dtype,
                    hardware=self.hardware,
                    policy=self.teacher.policy,
                ),
            )
        key = {
            "teacher": self.teacher.fingerprint,
            "corpus": self.digests["corpus"],
            "distill_limit": config.distill_limit,
            "prompts": config.prompts,
            "prompt shares": [config.query_share, config.document_share],
            "dtype": config.dtype,
            "precision": self.hardware.precision,
        }
        return self._stage(
            folder,
            "embeddings",
            key,
            lambda out: embed(
                self.teacher,
                Corpus(folder.path("corpus")),
                out,
                target=self.config.target,
                config=config,
                hardware=self.hardware,
                processes=self.processes,
            ),
            all_ranks=True,
        )

    def distill(self, folder: RunDir) -> dict[str, Any]:
        """The student learns those vectors."""
        from hub_tools.training.distill import distill
        from hub_tools.vectors.embed import Embeddings

        options = dataclasses.asdict(self.config.distill)
        del options["tensorboard"]  # changes nothing in the student
        key: CacheKey = {
            "clone": self.digests["clone"],
            "embeddings": self.digests["embeddings"],
            "distill": options,
            "hardware": dataclasses.asdict(self.hardware),
            "seed": self.config.seed,
        }
        result = self._stage(
            folder,
            "student",
            key,
            lambda out: {
                **to_plain(
                    distill(
                        folder.path("clone"),
                        Embeddings(folder.path("embeddings")),
                        out,
                        self.config.distill,
                        hardware=self.hardware,
                        seed=self.config.seed,
                        policy=self.teacher.policy,
                        processes=self.processes,
                    )
                ),
                # What trained it, whatever is installed when a report is written again.
                "versions": versions(),
            },
            all_ranks=True,
        )
        # Only now: a run that was cut off just before the end still needed them.
        if self.processes.is_main:
            for leftover in ("best", "checkpoint"):
                for path in folder.path("student").glob(f"{leftover}*"):
                    shutil.rmtree(path, ignore_errors=True)
        return result

    def evaluate(self, folder: RunDir) -> dict[str, Any]:
        """The same tasks for teacher, clone and student."""
        from hub_tools.corpus.build import Corpus
        from hub_tools.evaluation.evaluate import evaluate

        key: CacheKey = {"student": self.digests["student"], "sts files": [[f.name, hash_file(f)] for f in self.sts]}
        paths = {"teacher": self.teacher.path, "clone": folder.path("clone"), "student": folder.path("student")}
        training = read_json(folder.path("student") / "training.json")
        return self._stage(
            folder,
            "evaluation",
            key,
            lambda _: evaluate(
                paths,
                Corpus(folder.path("corpus")),
                target=self.config.target,
                sts=self.sts,
                hardware=self.hardware,
                training=training,
                own_vectors=self.ready is None,
                policy=self.teacher.policy,
            ),
        )

    def report(self, folder: RunDir, results: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Write the report of the stages that ran."""
        from hub_tools.reporting.text import build_report, write_report

        report = build_report(
            results, teacher=self.teacher, student=folder.path("student"), config=config_values(self.config)
        )
        write_report(folder.root, report, self.config.target)
        _copy_legal_files(self.teacher, folder.path("license"))
        if report["evaluation"]:
            log.info("report: %s", folder.root / "report.md")
        return report

    def _stage(self, folder: RunDir, name: str, key: CacheKey, work: Any, *, all_ranks: bool = False) -> dict[str, Any]:
        key = {**key, "version of this stage": _VERSION}
        self.digests[name] = digest(key)
        return folder.run(name, key, work, all_ranks=all_ranks)


def _check_training(config: RunConfig, teacher: Teacher) -> None:
    """Refuse what the training cannot do before anything is computed for it."""
    if config.distill.tensorboard and find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs a package that is not installed. Run: pip install tensorboard")
    if config.distill.gradient_checkpointing and teacher.input_type == STATIC:
        raise UserError(f"--gradient-checkpointing: {teacher.name} has no layers to compute again. Leave it out.")


def _needs(config: RunConfig, stage: str) -> tuple[str, ...]:
    """The stages before a stage. Ready vectors are compared with those of the clone."""
    return _NEEDS["distill"][:3] if stage == "embed" and config.embed.use else _NEEDS[stage]


def _remembered_hardware(config: RunConfig) -> Hardware | None:
    """What `auto` chose when vectors were first computed: another timing or machine must not throw work away."""
    from hub_tools.core.hardware import Hardware

    file = config.output / _HARDWARE
    known = read_json(file) if file.exists() else {}
    return Hardware(**known["chosen"]) if known.get("asked") == [config.device, config.precision] else None


def _remember_hardware(config: RunConfig, hardware: Hardware) -> None:
    chosen = dataclasses.asdict(hardware)
    write_json(config.output / _HARDWARE, {"asked": [config.device, config.precision], "chosen": chosen})


def _copy_legal_files(teacher: Teacher, out: Path) -> None:
    """Keep the teacher's license and notices with the run: they have to go with the student."""
    shutil.rmtree(out, ignore_errors=True)  # those of another teacher
    for file in teacher.legal_files:
        out.mkdir(exist_ok=True)
        shutil.copyfile(file, out / file.name)


def _files(option: str, names: tuple[str, ...]) -> list[Path]:
    paths = [Path(name).expanduser() for name in names]
    for path in paths:
        if not path.is_file():
            raise UserError(f"{option} {path}: there is no such file.")
    return paths


def plan(config: RunConfig) -> str:
    """What `run` would do, without doing it: sizes, counts, memory, disk."""
    from hub_tools.tokenization.adapt import default_vocab_size
    from hub_tools.tokenization.tokenizer_json import TokenizerSpec

    job = Job(config)
    teacher = job.teacher
    theirs = len(TokenizerSpec.read(teacher.input_folder).ids)
    size = config.tokenizer.vocab_size or default_vocab_size(theirs)
    weights = sum(f.stat().st_size for f in teacher.path.rglob("*.safetensors"))
    rows = teacher.hidden_size * 4
    student = weights + (size - theirs) * rows
    spoken = list(dict.fromkeys(s.lang for s in job.sources))
    steps = f"{config.distill.steps} steps" if config.distill.steps else f"{config.distill.epochs:g} epochs in steps"
    lines = [
        f"teacher      {teacher.name}, {weights / 1e6:,.0f} MB, {theirs:,} tokens, reads {teacher.max_seq_length}",
        f"languages    {len(spoken)} of {len(job.languages)} with text: {' '.join(spoken)}",
        *(f"corpus       {name}" for name in dict.fromkeys(s.name for s in job.sources if s.lang == config.target)),
        *(f"parallel     {file} ({file.stat().st_size / 1e6:,.1f} MB)" for file in job.parallel),
        f"tokenizer    {config.tokenizer.use or f'{size:,} tokens'}",
        f"student      about {student / 1e6:,.0f} MB ({student / max(weights, 1):.0%} of the teacher)",
        f"vectors      {job.ready.name if job.ready else f'{config.embed.dtype}, by the teacher'}",
        f"training     {steps} of {config.distill.batch_tokens or STEP_TOKENS[job.hardware.device]:,} tokens "
        f"on {job.hardware}",
        f"memory       about {(4 * student + weights) / 1e9:.1f} GB for weights and optimizer",
        f"disk         about {7 * student / 1e6:,.0f} MB for models, besides text and vectors",
        f"output       {config.output}",
        *_push_plan(config),
    ]
    return "\n".join(lines)


def _push_plan(config: RunConfig) -> list[str]:
    if config.publish.namespace is None:
        return ["push         nothing is pushed to the Hub"]
    seen = "private" if config.publish.private else "public"
    tag = f", tag {config.publish.tag}" if config.publish.tag else ""
    return [f"push         {what} {repo} ({seen}{tag})" for what, repo in chosen_ids(config).items()]
