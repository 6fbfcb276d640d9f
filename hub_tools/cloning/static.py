"""A static student: a row for each token, and a text's vector is the mean of its tokens' rows.

As in model2vec (Tulkens and van Dongen 2024) a row begins as the teacher's vector of the token alone, and rare tokens
count more. The rows come from a clone that reads the student's tokens, so new tokens have theirs too; the training
brings the means nearer to the teacher's vectors of whole texts.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import bar
from hub_tools.models.compat import write_compat_configs
from hub_tools.models.loading import LoadPolicy, load_model, put_tokenizer
from hub_tools.models.teacher import MODEL_SETTINGS
from hub_tools.models.text_pooling import TextPooling

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_BATCH = 1024


def write_static(whole: Path, texts: Iterable[str], out: Path, hardware: Hardware, policy: LoadPolicy) -> None:
    """Save the static model of a clone in `out`, which exists; in `texts` is counted which tokens are rare."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    model = load_model(whole, device=hardware.device, policy=policy)
    rarity = TextPooling.of(model, texts).rarity
    rows = token_vectors(model) * (rarity / rarity.mean())[:, None]
    first = StaticEmbedding(model.tokenizer.backend_tokenizer, embedding_weights=rows)
    SentenceTransformer(modules=[first, Normalize()], device="cpu").save_pretrained(str(out), create_model_card=False)
    put_tokenizer(whole, out)
    # What there is of prompts and similarity; its rows are as long as the teacher's vectors already.
    if (whole / MODEL_SETTINGS).exists():
        settings = read_json(whole / MODEL_SETTINGS)
        write_json(out / MODEL_SETTINGS, {key: value for key, value in settings.items() if key != "truncate_dim"})
    for code in whole.glob("*.py") if policy.code else ():
        shutil.copyfile(code, out / code.name)
    write_compat_configs(out, max_seq_length=None)


def token_vectors(model: SentenceTransformer) -> NDArray[np.float32]:
    """Return the model's vector of each of its tokens, alone in the template, float32, shape (V, dim)."""
    import torch

    before, after = _template(model)
    count = len(model.tokenizer)
    vectors = []
    with bar("token vectors", count, " tokens") as progress, torch.inference_mode():
        for start in range(0, count, _BATCH):
            tokens = range(start, min(start + _BATCH, count))
            ids = torch.tensor([[*before, token, *after] for token in tokens], device=model.device)
            features: Any = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            found = model(features)["sentence_embedding"].float()[:, : model.truncate_dim]
            vectors.append(found.cpu().numpy())
            progress.update(len(tokens))
    return np.concatenate(vectors)


def _template(model: SentenceTransformer) -> tuple[list[int], list[int]]:
    """Return the special tokens that stand before and after a text."""
    tokenizer = model.tokenizer.backend_tokenizer
    tokenizer.no_padding()
    encoding = tokenizer.encode("a")
    text = [place for place, is_special in enumerate(encoding.special_tokens_mask) if not is_special]
    return encoding.ids[: text[0]], encoding.ids[text[-1] + 1 :]
