"""A clone of fewer layers than its teacher has: which ones it takes, and what they are called in it.

The layer at a place of the clone is built as its configuration says for that place, so the teacher's layer there has to
be of the same kind: with the same attention, and parameters of the same names and shapes. ModernBERT's first layer has
no norm before its attention, T5's first one holds the positions of all, and in Gemma3 every sixth reads the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.cloning.architecture import build_on_meta
from hub_tools.core.errors import UserError
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.models.encoder import encode
from hub_tools.models.loading import backbone
from hub_tools.models.teacher import STATIC, Teacher

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The layers of a model that follow each other."""

    name: str  # of the list of layers inside the model: encoder.layer
    kinds: tuple[Any, ...]  # of each layer: its settings, and the names and shapes of its parameters
    count_key: str  # the setting that says how many there are
    settings: dict[str, list[Any]]  # those with a value for each layer

    def __len__(self) -> int:
        return len(self.kinds)

    def renamed(self, names: Iterable[str], taken: Sequence[int]) -> dict[str, str | None]:
        """Return the new names of the tensors of layers, None for those of layers that are not taken."""
        places = {layer: place for place, layer in enumerate(taken)}
        pattern = re.compile(rf"((?:.*\.)?{re.escape(self.name)}\.)(\d+)(\..*)")
        found = {name: match for name in names if (match := pattern.fullmatch(name))}
        new = {name: places.get(int(match[2])) for name, match in found.items()}
        return {name: None if new[name] is None else f"{m[1]}{new[name]}{m[3]}" for name, m in found.items()}

    def write_settings(self, file: Path, count: int) -> None:
        """Say in a config.json that there are so many layers; each is as the teacher's in its place is."""
        config = read_json(file)
        text = config.get("text_config") or config
        text.update({self.count_key: count, **{key: values[:count] for key, values in self.settings.items()}})
        write_json(file, config)


def find_stack(teacher: Teacher) -> Stack:
    """Find the layers of a teacher, those of the encoder where it has a decoder too.

    Raises:
        UserError: it has no layers, or they are not in one list.
    """
    import torch

    if teacher.input_type == STATIC:
        raise UserError(f"--layers: {teacher.name} has no layers, only a table of rows. Leave it out.")
    model = build_on_meta(teacher, teacher.input_folder)
    config = model.config.get_text_config()
    count = config.num_hidden_layers
    lists = [
        name
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.ModuleList) and len(part) == count and not re.search(r"\.\d+\.", name)
    ]
    lists = [name for name in lists if not name.startswith("decoder.")] or lists
    if len(lists) != 1:
        raise UserError(
            f"--layers: {teacher.name} is a {type(model).__name__}, which does not keep its {count} layers in one list "
            "(they share their weights, say). Leave it out, or choose another teacher."
        )
    settings = {
        key: list(values)
        for key, values in config.to_dict().items()
        if isinstance(values, list | tuple) and len(values) == count and "layer" in key
    }
    shapes = [{name: tuple(p.shape) for name, p in layer.named_parameters()} for layer in model.get_submodule(lists[0])]
    kinds = tuple((*(values[i] for values in settings.values()), shapes[i]) for i in range(count))
    key = config.attribute_map.get("num_hidden_layers", "num_hidden_layers")
    return Stack(name=lists[0], kinds=kinds, count_key=key, settings=settings)


def check_layers(stack: Stack, asked: Sequence[int], name: str) -> None:
    """Refuse, by a UserError, a number of layers, or a list of them, that a clone cannot have."""
    if len(asked) == 1:
        if asked[0] > len(stack):
            raise UserError(f"--layers {asked[0]}: {name} has {len(stack)}. Expected at most as many.")
        return
    if list(asked) != sorted(set(asked)) or max(asked) >= len(stack):
        raise UserError(
            f"--layers {','.join(map(str, asked))}: expected numbers of layers in rising order, from 0 to "
            f"{len(stack) - 1} in {name}."
        )
    for place, layer in enumerate(asked):
        if stack.kinds[layer] != stack.kinds[place]:
            raise UserError(
                f"--layers {','.join(map(str, asked))}: layer {layer} of {name} would be in the place of layer "
                f"{place}, and is of another kind (its attention, or its parameters). Give a number, and layers that "
                "fit are found."
            )


def choose_layers(influence: NDArray[np.float64], kinds: Sequence[Any], count: int) -> tuple[int, ...]:
    """Return the layers with the greatest influence, in order, each in a place of its kind.

    The first and the last one are among them if their kinds allow it: one turns tokens into states and the other
    states into what is pooled. For example, of influences 0.4, 0.1, 0.3, 0.2 and 1.0 three layers are 0, 2 and 4.
    """
    value = influence.copy()
    value[[0, -1]] += influence.sum()
    best: dict[int, tuple[float, tuple[int, ...]]] = {-1: (0.0, ())}
    for place in range(count):
        best = {
            layer: max(
                (total + value[layer], (*taken, layer)) for before, (total, taken) in best.items() if before < layer
            )
            for layer in range(place, len(kinds))
            if kinds[layer] == kinds[place] and min(best) < layer
        }
    return max(best.values())[1]


def measure_influence(
    model: SentenceTransformer, stack: Stack, texts: list[str], hardware: Hardware
) -> NDArray[np.float64]:
    """Return how much each layer changes the states of tokens, 1 - cosine of what it gets and gives; shape (layers,).

    It is the block influence of ShortGPT (Men et al. 2024, arXiv 2403.03853). Without texts it falls from the first
    layer on, so that early ones are chosen.
    """
    import torch

    mask = torch.empty(0)
    sums, tokens = np.zeros(len(stack)), 0

    def remember_mask(_: Any, inputs: tuple[dict[str, Any]]) -> None:
        nonlocal mask, tokens
        mask = inputs[0]["attention_mask"].bool()
        tokens += int(mask.sum())

    def watch(place: int) -> Any:
        def compare(_: Any, args: tuple[Any, ...], inputs: dict[str, Any], output: Any) -> None:
            before = args[0] if args else inputs["hidden_states"]
            after = output[0] if isinstance(output, tuple) else output
            cosines = torch.nn.functional.cosine_similarity(before.float(), after.float(), dim=-1)
            sums[place] += float((1 - cosines)[mask].sum())

        return compare

    layers = backbone(model).get_submodule(stack.name)
    hooks = [layer.register_forward_hook(watch(place), with_kwargs=True) for place, layer in enumerate(layers)]
    hooks.append(model[0].register_forward_pre_hook(remember_mask))
    if texts:
        encode(model, texts, hardware)
    for hook in hooks:
        hook.remove()
    influence: NDArray[np.float64] = sums / tokens if tokens else np.linspace(1, 0.5, len(stack))
    return influence
