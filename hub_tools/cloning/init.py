"""How the rows of new tokens are made: one module for each way, one function over all.

What every way shares: a token that the teacher has too keeps the teacher's row, bit for bit.
"""

from __future__ import annotations

from hub_tools.cloning.context import InitContext, Rows
from hub_tools.config import Init
from hub_tools.core.logging import log


def init_embeddings(init: Init, given: InitContext) -> tuple[Rows, dict[str, int]]:
    """The student's rows.

    Args:
        init: `mean`: the mean of the teacher's rows of a token's text (arXiv 2605.29992); `position`: the same in the
            token's position in a word; `length`, `frequency`: that mean, weighted by the pieces' characters or by how
            rare they are; `align`: mixed with rows that word alignment finds in parallel text, without any the same as
            `frequency`; `focus`: mixed with the rows of tokens in similar contexts; `token_distillation`: fitted to the
            teacher's hidden states.
        given: what they are made from.

    Returns:
        float32, shape (V, hidden), and how many rows were made so, under the name of the way (`aligned`, ...).
    """
    if init == "align" and not given.corpus.has_pairs:
        init = "frequency"  # the best without pairs in all languages that were tried (docs/results.md)
        if len(given.new):
            log.info("  no parallel text: new rows are means of the teacher's rows of their pieces, rare ones first")
    rows = _means(init, given)
    if init == "align":
        from hub_tools.cloning.aligned_init import mix_aligned

        return rows, {"aligned": mix_aligned(rows, given)}
    if init == "focus" and len(given.new):
        from hub_tools.cloning.focus import mix_focus

        return rows, {"aligned": 0, "focus": mix_focus(rows, given)}
    if init == "token_distillation" and len(given.new):
        from hub_tools.cloning.token_distillation import distill_tokens

        return rows, {"aligned": 0, "distilled": distill_tokens(rows, given)}
    return rows, {"aligned": 0}


def _means(init: Init, given: InitContext) -> Rows:
    """Rows as means: what is asked for, and what all other ways begin with."""
    from hub_tools.cloning import mean

    found, weights = given.token_map, None
    if init == "mean":
        found = mean.surface_map(given.theirs, given.ours, found)
    elif init == "length":
        weights = mean.length_weights(given.theirs, found)
    elif init == "frequency":
        weights = mean.frequency_weights(given.theirs, found, given.corpus.all_texts(given.target, given.target))
    return mean.mean_rows(found, given.rows, weights)
