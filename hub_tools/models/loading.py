"""Loading, saving and choosing the arithmetic of sentence-transformers models."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_tools.core.errors import UserError, explain
from hub_tools.core.hardware import Hardware, devices
from hub_tools.models.compat import write_compat_configs
from hub_tools.results import ModelInfo

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True, kw_only=True)
class LoadPolicy:
    """What the files of a model may do; nothing by default."""

    code: bool = False  # run Python code that comes with the model
    pickle: bool = False  # be read with pickle where there are no safetensors


SAFE = LoadPolicy()
# Tokenizers that know no limit say a huge number.
NO_LIMIT = 10**9


@contextmanager
def library_errors(subject: str) -> Iterator[None]:
    """Raise whatever a library makes of damaged files as a UserError: the subject, and what the library says.

    Libraries raise nearly anything for files that they did not write, and tokenizers' Rust code panics. What the
    machine lacks (memory, a file, a place on the disk) passes as it is.
    """
    try:
        yield
    except BaseException as error:
        is_panic = type(error).__name__ == "PanicException"  # no Exception, and of a module that cannot be imported
        if explain(error) is not None or not (is_panic or isinstance(error, Exception)):
            raise
        reason = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        raise UserError(f"{subject}: {reason}") from error


def load_model(path: Path, *, device: str, policy: LoadPolicy = SAFE) -> SentenceTransformer:
    """Load a sentence-transformers model in fp32 from a folder; it runs no code from there unless it is trusted.

    Raises:
        UserError: the folder holds no model that sentence-transformers can load, or torch finds no such device.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    if not devices()[device.partition(":")[0]]:
        raise UserError(
            f"This run started on {device}, and torch finds no such device here. Go on where there is one, or give "
            "--device cpu, which computes vectors and training again."
        )
    # Unpickling could run code.
    options: Any = {"dtype": torch.float32, "use_safetensors": None if policy.pickle else True}
    with library_errors(f"{path} is no model that sentence-transformers can load"):
        model = SentenceTransformer(
            str(path), device=device, local_files_only=True, trust_remote_code=policy.code, model_kwargs=options
        )
    # Whatever the files hold, weights are fp32 here; a StaticEmbedding would keep the dtype of its file.
    return model.float().eval()


def backbone(model: SentenceTransformer) -> Any:
    """Return the transformers model inside, or the module itself where there is none (StaticEmbedding)."""
    return getattr(model[0], "auto_model", model[0])


def is_static(model: SentenceTransformer) -> bool:
    """Return whether a vector is the mean of its tokens' rows, without a transformer (StaticEmbedding)."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    return isinstance(model[0], StaticEmbedding)


def token_rows(model: SentenceTransformer) -> torch.nn.Parameter:
    """Return the input embeddings, one row for each token, shape (V, hidden)."""
    inside = backbone(model)
    embedding = inside.get_input_embeddings() if hasattr(inside, "get_input_embeddings") else inside.embedding
    rows: torch.nn.Parameter = embedding.weight
    return rows


def save_model(model: SentenceTransformer, out: Path, *, tokenizer: Path, max_seq_length: int | None) -> None:
    """Save a model with the tokenizer of another folder, so that sentence-transformers 5 and 6 load the same."""
    model.save_pretrained(str(out), create_model_card=False)
    for name in ("vocab.txt", "special_tokens_map.json", "added_tokens.json"):
        (out / name).unlink(missing_ok=True)
    put_tokenizer(tokenizer, out)
    write_compat_configs(out, max_seq_length=max_seq_length)


def put_tokenizer(folder: Path, out: Path) -> None:
    """Copy the files of a tokenizer as they are."""
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (folder / name).exists():
            shutil.copyfile(folder / name, out / name)


def prepare_for_speed(model: SentenceTransformer, hardware: Hardware) -> None:
    """Choose the attention that is fastest where the model runs.

    torch's fused attention for bf16 on CPUs is many times slower than two plain matrix products at the
    lengths of sentences (benchmarks/attention.py measures it); everywhere else the default is right.
    """
    if hardware == Hardware(device="cpu", precision="bf16") and hasattr(backbone(model), "set_attn_implementation"):
        backbone(model).set_attn_implementation("eager")


def longest_input(model: SentenceTransformer) -> int | None:
    """Return the longest input in tokens; None for a model without a limit (StaticEmbedding)."""
    longest = model.max_seq_length
    return int(longest) if longest and longest < NO_LIMIT else None


def describe(model: SentenceTransformer) -> ModelInfo:
    """Return what the report says of a model."""
    return ModelInfo(
        architecture=type(backbone(model)).__name__,
        params=sum(p.numel() for p in model.parameters()),
        vocab_size=token_rows(model).shape[0],
        dim=model.get_embedding_dimension() or 0,
        max_seq_length=longest_input(model),
    )
