"""The demo: the whole job on the bundled teacher and the bundled sample."""

from __future__ import annotations

from pathlib import Path

from hub_tools.config import CorpusConfig, DistillConfig, RunConfig, TokenizerConfig
from hub_tools.core.names import BUNDLED
from hub_tools.corpus.readers import sample_file
from hub_tools.corpus.sources import SAMPLE


def demo_config(output: Path) -> RunConfig:
    """Return the options of `hub-distill demo`."""
    return RunConfig(
        teacher=BUNDLED,
        lang=("tr",),
        output=output,
        corpus=CorpusConfig(sources=(SAMPLE,), parallel=(str(sample_file("tr-en.tsv")),)),
        tokenizer=TokenizerConfig(vocab_size=8192),
        distill=DistillConfig(steps=100, batch_tokens=2048, eval_steps=25),
    )
