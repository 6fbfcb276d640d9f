"""`--dry-run`: what a run would do, without doing it."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from itertools import islice

from hub_tools.config import STEP_TOKENS, RunConfig
from hub_tools.core.limits import OTHERS, limit_of, limits_text
from hub_tools.corpus.build import HUB_LIMIT_MAIN, HUB_LIMIT_OTHER, LEAST_OTHER, take_turns
from hub_tools.corpus.clean import clean
from hub_tools.corpus.pairs import HubPairs
from hub_tools.corpus.shards import shards_for_tasks
from hub_tools.corpus.sources import NoSuchTextError
from hub_tools.finetuning.hub_table import is_hub_table
from hub_tools.hub.publish import with_record
from hub_tools.hub.repos import chosen_ids
from hub_tools.models.sizes import count_layers, plan_sizes, static_plan, with_model_sizes
from hub_tools.models.tokenizer import read_teacher_tokenizer
from hub_tools.reporting.tables import sizes_rows, terminal_table
from hub_tools.stages.job import HashedFile, Job, prepare
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.vocabulary_size import asked_size, half_size
from hub_tools.training.schedule import EPOCHS, NEAR_STEPS

# Texts of a target and of English that are read to find a size.
_TEXTS = 10_000


def plan(config: RunConfig) -> str:
    """Return sizes, counts, memory, disk and what would be pushed; nothing is fetched but settings and tokenizer.

    Of several students, what they have in common comes first.
    """
    job = prepare(config, plan_only=True)
    plans = {name: _plan(student, job.of(student)) for name, student in config.students.items()}
    if not plans:
        return "\n".join(_plan(config, job))
    first, *others = plans.values()
    shared = [line for line in first if all(line in lines for lines in others)]
    own = {name: [line for line in lines if line not in shared] for name, lines in plans.items()}
    return "\n".join([*shared, *(line for name, lines in own.items() for line in ("", f"{name}:", *lines))])


def _plan(config: RunConfig, job: Job) -> list[str]:
    """Return the parts of the plan of one student, of a line or several."""
    teacher = job.teacher
    tokenizer = read_teacher_tokenizer(teacher)
    teacher_vocab = len(tokenizer.vocab)
    size, how = _plan_vocabulary(job, tokenizer)
    sizes = plan_sizes(teacher)
    student = static_plan(teacher) if config.clone.static else sizes
    teacher_bytes, student_bytes = sizes.teacher_bytes, student.weight_bytes(size, count_layers(config.clone.layers))
    step_tokens = config.distill.batch_tokens or STEP_TOKENS[job.hardware.device]
    # Weights, gradients and two moments; to average them, also the weights of three models.
    copies = 7 if config.finetune.is_asked else 4
    languages = list(dict.fromkeys(source.lang for source in job.sources))
    return [
        f"teacher      {teacher.name}, {teacher_bytes / 1e6:,.0f} MB, {teacher_vocab:,} tokens, "
        f"reads {teacher.max_seq_length}",
        f"languages    {len(languages)} of {len(job.languages)} with text: {' '.join(languages)}",
        *(f"corpus       {name}" for name in dict.fromkeys(s.name for s in job.sources if s.lang in config.targets)),
        *_reading(job),
        f"limits       {_limits(config, from_hub=any(source.dataset for source in job.sources))}",
        *(f"parallel     {_table(table)}" for table in job.parallel),
        how,
        f"student      about {student_bytes / 1e6:,.0f} MB ({student_bytes / teacher_bytes:.0%} of the teacher)",
        f"vectors      {job.imported.name if job.imported else _vectors(job.config)}",
        *([f"             in {_tasks(config)}"] if config.scale.executor else []),
        f"training     {_steps(config)} of {step_tokens:,} tokens on {job.hardware}",
        *_labels(job),
        f"memory       about {(copies * student_bytes + teacher_bytes) / 1e9:.1f} GB for weights and optimizer",
        f"disk         about {7 * student_bytes / 1e6:,.0f} MB for models, besides text, vectors and word alignment",
        f"output       {config.output}",
        *_push_plan(config),
    ]


def _reading(job: Job) -> list[str]:
    """Return a line that says which processes read the text, where an executor starts some."""
    if job.config.scale.executor is None:
        return []
    files = Counter[str]()
    for source in job.sources if job.config.scale.reads_text else ():
        # Where none is given, a dataset's limit is too small for tasks.
        limit = limit_of(job.config.corpus.limits, source.lang) or 0
        with suppress(NoSuchTextError):
            files[source.lang] += shards_for_tasks(source.stream, limit) if source.stream else 0
    in_tasks = ", ".join(f"{count:,} files of {lang}" for lang, count in files.items() if count)
    return [f"             {in_tasks} read in {_tasks(job.config)}" if in_tasks else "             read by one process"]


def _tasks(config: RunConfig) -> str:
    scale = config.scale
    asked = ", ".join((*([f"{scale.workers} at once"] if scale.workers else []), *scale.executor_option))
    return f"tasks of --executor {scale.executor}{asked and f' ({asked})'}"


def _table(table: HashedFile | HubPairs) -> str:
    return f"{table.path} ({table.path.stat().st_size / 1e6:,.1f} MB)" if isinstance(table, HashedFile) else table.name


def _labels(job: Job) -> list[str]:
    """Return lines that say what is trained on with labels, as far as it is on this machine."""
    config = job.config.finetune
    if not config.is_asked:
        return []
    counts = [f"{len(data.examples):,} of {data.name} ({data.skill})" for data in job.labelled]
    specs = (*config.nli, *config.retrieval, *config.paragraphs, *config.sts)
    counts += [f"those of {spec}" for spec in specs if is_hub_table(spec)]
    passes = f"{config.epochs:g} passes in steps of {config.batch_size} examples and {config.anchors} anchors"
    return [f"labels       {', '.join(counts)}; {passes}, a tenth held out"]


def _steps(config: RunConfig) -> str:
    if config.distill.steps:
        return f"{config.distill.steps} steps"
    asked = config.distill.epochs
    near = "" if asked else f" (or {NEAR_STEPS} steps, if the clone is near the teacher)"
    return f"{asked or EPOCHS:g} epochs{near} in steps"


def _vectors(config: RunConfig) -> str:
    limits = limits_text(config.embed.limits)
    return f"{config.embed.dtype}, by the teacher{f', of at most {limits}' if limits else ''}"


def _limits(config: RunConfig, *, from_hub: bool) -> str:
    asked = limits_text(config.corpus.limits)
    others = f"of each language but English a tenth of what the target has, {LEAST_OTHER:,} at least"
    hub = f"; of datasets {HUB_LIMIT_MAIN:,} of target and English and {HUB_LIMIT_OTHER:,} of others"
    return f"at most {asked or others}{hub if from_hub and OTHERS not in config.corpus.limits else ''}"


def _plan_vocabulary(job: Job, tokenizer: TokenizerSpec) -> tuple[int, str]:
    """Return the size of the student's vocabulary, as far as it is known now, and what says it."""
    config, half = job.config.tokenizer, half_size(len(tokenizer.vocab))
    if config.use is not None:
        return half, f"tokenizer    {config.use}"
    if size := asked_size(config, len(tokenizer.vocab)):
        return size, f"tokenizer    {size:,} tokens"
    targets = job.config.targets
    sources = [source for source in job.sources if source.lang in (*targets, "en")]
    missing = set(targets) - {source.lang for source in sources}
    if missing or any(source.dataset for source in sources):
        return half, f"tokenizer    at most {half:,} tokens: the tokenizer stage finds out how many the text needs"
    limits = job.config.corpus.limits
    texts = {
        lang: [clean(text) for text in islice(take_turns(source.open() for source in own), most)]
        for lang in dict.fromkeys(source.lang for source in sources)
        if (own := [source for source in sources if source.lang == lang])
        and (most := min(_TEXTS, limit_of(limits, lang) or _TEXTS))
    }
    prompts = [*job.teacher.prompts.values(), *job.config.embed.prompts.values()]
    readers = {lang: own.__iter__ for lang, own in texts.items()}
    found = Adaptation(tokenizer, readers, targets=targets, config=config, prompts=prompts)
    clone = job.config.clone
    rows = sizes_rows(with_model_sizes(found.sizes, job.teacher, clone.layers, static=clone.static), found.size)
    count = " and ".join(f"{len(own):,} {lang}" for lang, own in texts.items())
    how = f"tokenizer    about {found.size:,} tokens, as {count} texts say; the tokenizer stage counts all of them"
    return found.size, "\n             ".join([how, *terminal_table(rows).splitlines()])


def _push_plan(config: RunConfig) -> list[str]:
    if config.publish.namespace is None:
        return ["push         nothing is pushed to the Hub"]
    config = with_record(config)
    visibility = "private" if config.publish.private else "public"
    tag = f", tag {config.publish.tag}" if config.publish.tag else ""
    return [f"push         {kind} {repo} ({visibility}{tag})" for kind, repo in chosen_ids(config).items()]
