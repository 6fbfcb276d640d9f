"""The model in training: token ids in, vectors out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.config import DistillConfig
from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware, autocast
from hub_tools.models.loading import backbone, is_static, prepare_for_speed, token_rows
from hub_tools.models.padding import join, pad
from hub_tools.training.data import TokenizedTexts

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from torch.nn import Parameter


class Student:
    """A model as a function of token ids, with the switches of training.

    The model is trained in place, on the device where it is. It stays in evaluation mode unless `config.dropout` is
    given: the target of a text is exact.

    Raises:
        UserError: the model does not support gradient checkpointing, and it was asked for.
    """

    def __init__(self, model: SentenceTransformer, config: DistillConfig, hardware: Hardware) -> None:
        self.model, self.config, self.hardware = model, config, hardware
        self.device: torch.device = model.device
        prepare_for_speed(model, hardware)
        self.token_embeddings: Parameter = token_rows(model)  # shape (V, hidden)
        self.backbone_params = [p for p in model.parameters() if p is not self.token_embeddings and p.requires_grad]
        self._checkpointed_layers = _enable_checkpointing(model) if config.gradient_checkpointing else []
        if config.compile:
            import torch

            # Not Module.compile: sentence-transformers calls `forward`, which that leaves as it is.
            inside = backbone(model)
            inside.forward = torch.compile(inside.forward, dynamic=True)

    def __call__(self, texts: TokenizedTexts, numbers: NDArray[np.int64], *, training: bool) -> Tensor:
        """Return the vectors of the texts with these numbers, fp32, shape (n, dim).

        In `training`, drop out where that is asked for, and keep little in memory under gradient checkpointing.
        """
        self.model.train(training and self.config.dropout)
        for layer in self._checkpointed_layers:
            layer.training = training  # of the layer alone: whether its parts drop anything was said above
        try:
            with autocast(self.hardware):
                vectors: Tensor = self.model(self._features(texts, numbers))["sentence_embedding"]
                # As `encode` does for a model that names a truncate_dim.
                return vectors.float()[:, : self.model.truncate_dim]
        except Exception as error:
            if self.config.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                reason = str(error).strip().partition("\n")[0]
                raise UserError(
                    f"--compile: torch could not compile the model ({reason}). Install a C++ compiler (g++) and "
                    "Python's headers, or leave --compile out."
                ) from error
            raise

    def _features(self, texts: TokenizedTexts, numbers: NDArray[np.int64]) -> dict[str, Tensor]:
        import torch

        token_ids = [texts[number] for number in numbers]
        if is_static(self.model):
            ids, offsets = join(token_ids)
            arrays = {"input_ids": ids, "offsets": offsets}
        else:
            ids, mask = pad(token_ids, texts.pad_id)
            arrays = {"input_ids": ids, "attention_mask": mask}
        return {name: torch.from_numpy(values).to(self.device) for name, values in arrays.items()}


def _enable_checkpointing(model: SentenceTransformer) -> list[Any]:
    """Switch gradient checkpointing on and return the layers that do it in training mode.

    transformers does it only in training mode, which would bring dropout along.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    inside = backbone(model)
    layers = [part for part in inside.modules() if isinstance(part, GradientCheckpointingLayer)]
    if not layers or not getattr(inside, "supports_gradient_checkpointing", False):
        raise UserError(f"--gradient-checkpointing: {type(inside).__name__} does not support it. Leave the option out.")
    # transformers 6 knows it by the first name alone, early versions of 5 by the second.
    new = hasattr(inside, "activation_checkpointing_enable")
    (inside.activation_checkpointing_enable if new else inside.gradient_checkpointing_enable)()
    return layers
