"""How the embedding rows of new tokens are made; a token that the teacher has too keeps its row, bit for bit."""

from __future__ import annotations

from hub_tools.cloning import mean
from hub_tools.cloning.aligned_init import mix_aligned
from hub_tools.cloning.context import InitContext, Rows
from hub_tools.cloning.focus import mix_focus
from hub_tools.cloning.token_distillation import distill_tokens
from hub_tools.config_clone import Init
from hub_tools.core.logging import log


def init_embeddings(init: Init, context: InitContext) -> tuple[Rows, dict[str, int]]:
    """Make the student's embedding rows.

    `mean`: the mean of the teacher's rows of a token's text (arXiv 2605.29992); `position`: the same in the token's
    position in a word; `length`, `frequency`: that mean, weighted by the pieces' characters or by how rare they are;
    `align`: mixed with rows that word alignment finds in parallel text, without any the same as `frequency`; `focus`:
    mixed with the rows of tokens in similar contexts; `token_distillation`: fitted to the teacher's hidden states.

    Returns:
        float32, shape (V, hidden), and how many rows were aligned, focused or distilled, as fields of `CloneResult`.
    """
    if init == "align" and not context.corpus.has_pairs:
        init = "frequency"  # the best without pairs in all languages that were tried (docs/results.md)
        if len(context.new_ids):
            log.info("  no parallel text: new rows are means of the teacher's rows of their pieces, rare ones first")
    token_map, weights = context.token_map, None
    if init == "mean":
        token_map = mean.map_bare_text(context.teacher_spec, context.student_spec, token_map)
    elif init == "length":
        weights = mean.length_weights(context.teacher_spec, token_map)
    elif init == "frequency":
        texts = context.texts()
        weights = mean.frequency_weights(context.teacher_spec, token_map, texts)
    rows = mean.subword_mean(token_map, context.teacher_rows, weights)
    if init == "align":
        return rows, {"aligned": mix_aligned(rows, context)}
    if init == "focus" and len(context.new_ids):
        return rows, {"focus": mix_focus(rows, context)}
    if init == "token_distillation" and len(context.new_ids):
        return rows, {"distilled": distill_tokens(rows, context)}
    return rows, {}
