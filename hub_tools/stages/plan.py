"""`--dry-run`: what a run would do, without doing it."""

from __future__ import annotations

from hub_tools.config import STEP_TOKENS, RunConfig
from hub_tools.core.limits import OTHERS, limits_text
from hub_tools.corpus.build import HUB_LIMIT_MAIN, HUB_LIMIT_OTHER, LEAST_OTHER
from hub_tools.hub.publish import with_record
from hub_tools.hub.repos import chosen_ids
from hub_tools.models.sizes import plan_sizes
from hub_tools.models.tokenizer import read_teacher_tokenizer
from hub_tools.stages.job import prepare
from hub_tools.tokenization.adapt import default_vocab_size
from hub_tools.training.schedule import EPOCHS, NEAR_STEPS


def plan(config: RunConfig) -> str:
    """Return sizes, counts, memory, disk and what would be pushed; nothing is fetched but settings and tokenizer."""
    job = prepare(config, plan_only=True)
    teacher = job.teacher
    teacher_vocab = len(read_teacher_tokenizer(teacher).vocab)
    size = config.tokenizer.vocab_size or default_vocab_size(teacher_vocab)
    teacher_bytes, student_bytes = plan_sizes(teacher, size)
    step_tokens = config.distill.batch_tokens or STEP_TOKENS[job.hardware.device]
    languages = list(dict.fromkeys(source.lang for source in job.sources))
    lines = [
        f"teacher      {teacher.name}, {teacher_bytes / 1e6:,.0f} MB, {teacher_vocab:,} tokens, "
        f"reads {teacher.max_seq_length}",
        f"languages    {len(languages)} of {len(job.languages)} with text: {' '.join(languages)}",
        *(f"corpus       {name}" for name in dict.fromkeys(s.name for s in job.sources if s.lang in config.targets)),
        f"limits       {_limits(config, from_hub=any(source.dataset for source in job.sources))}",
        *(f"parallel     {file.path} ({file.path.stat().st_size / 1e6:,.1f} MB)" for file in job.parallel),
        f"tokenizer    {config.tokenizer.use or f'{size:,} tokens'}",
        f"student      about {student_bytes / 1e6:,.0f} MB ({student_bytes / teacher_bytes:.0%} of the teacher)",
        f"vectors      {job.imported.name if job.imported else f'{config.embed.dtype}, by the teacher'}",
        f"training     {_steps(config)} of {step_tokens:,} tokens on {job.hardware}",
        f"memory       about {(4 * student_bytes + teacher_bytes) / 1e9:.1f} GB for weights and optimizer",
        f"disk         about {7 * student_bytes / 1e6:,.0f} MB for models, besides text, vectors and word alignment",
        f"output       {config.output}",
        *_push_plan(config),
    ]
    return "\n".join(lines)


def _steps(config: RunConfig) -> str:
    if config.distill.steps:
        return f"{config.distill.steps} steps"
    asked = config.distill.epochs
    near = "" if asked else f" (or {NEAR_STEPS} steps, if the clone is near the teacher)"
    return f"{asked or EPOCHS:g} epochs{near} in steps"


def _limits(config: RunConfig, *, from_hub: bool) -> str:
    asked = limits_text(config.corpus.limits)
    others = f"of each language but English a tenth of what the target has, {LEAST_OTHER:,} at least"
    hub = f"; of datasets {HUB_LIMIT_MAIN:,} of target and English and {HUB_LIMIT_OTHER:,} of others"
    return f"at most {asked or others}{hub if from_hub and OTHERS not in config.corpus.limits else ''}"


def _push_plan(config: RunConfig) -> list[str]:
    if config.publish.namespace is None:
        return ["push         nothing is pushed to the Hub"]
    config = with_record(config)
    visibility = "private" if config.publish.private else "public"
    tag = f", tag {config.publish.tag}" if config.publish.tag else ""
    return [f"push         {kind} {repo} ({visibility}{tag})" for kind, repo in chosen_ids(config).items()]
