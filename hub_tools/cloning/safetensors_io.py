"""The weights of a model as safetensors: read through a memory map, and copied as a stream with some replaced.

Nothing here holds more than one tensor that is only copied, so a model of any size passes through.
"""

from __future__ import annotations

import json
import math
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.errors import UserError
from hub_tools.core.files import read_json, write_json
from hub_tools.models.loading import library_errors
from hub_tools.models.teacher import read_settings

if TYPE_CHECKING:
    import torch

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLED, _PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_BLOCK_ROWS = 8192
_AS_THEY_ARE: Mapping[str, str | None] = MappingProxyType({})


class LazyEmbedding:
    """A tensor in a memory map whose rows are read as float32, as those of an array; only these are converted."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor
        self.shape = tuple(tensor.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        import torch

        tensor = self._tensor[index if isinstance(index, slice) else torch.from_numpy(np.ascontiguousarray(index))]
        rows: NDArray[np.float32] = tensor.float().numpy()
        return rows


# Embedding rows that are read a few at a time.
AnyRows = NDArray[np.float32] | LazyEmbedding


class SafetensorsFiles:
    """The tensors of the folder of a module with model.safetensors, or with several files and an index.

    Raises:
        UserError: there are no safetensors, or they are damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, _files(folder)
        self.shapes: dict[str, tuple[int, ...]] = {}  # in the order of the files and of the bytes in them
        self._file_of: dict[str, Path] = {}
        for file in self.files:
            with _open(file) as opened, library_errors(f"{file} is damaged"):
                for name in opened.offset_keys():
                    self.shapes[name] = tuple(opened.get_slice(name).get_shape())
                    self._file_of[name] = file

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor in its own dtype; memory is taken only for the parts that are looked at."""
        with _open(self._file_of[name]) as file, library_errors(f"{self._file_of[name]} is damaged"):
            tensor: torch.Tensor = file.get_tensor(name)
        return tensor

    def write(
        self, out: Path, replaced: Mapping[str, NDArray[np.float32]], renamed: Mapping[str, str | None] = _AS_THEY_ARE
    ) -> None:
        """Copy all files, byte for byte but for tensors that are replaced (by values in the old dtype) or renamed.

        One whose new name is None is dropped.
        """
        changed = {self._file_of[name] for name in (*replaced, *renamed)}
        for file in self.files:
            if file in changed:
                _rewrite(file, out / file.name, replaced, renamed)
            else:
                shutil.copyfile(file, out / file.name)
        if (self.folder / INDEX).exists():
            index = read_json(self.folder / INDEX)
            names = {old: renamed.get(old, old) for old in index["weight_map"]}
            index["weight_map"] = {new: index["weight_map"][old] for old, new in names.items() if new is not None}
            size = sum(_bytes_of_tensors(out / file.name) for file in self.files)
            index["metadata"] = {**index.get("metadata", {}), "total_size": size}
            write_json(out / INDEX, index)


def _files(folder: Path) -> list[Path]:
    if (folder / INDEX).exists():
        return _parts(folder / INDEX)
    if not (folder / WEIGHTS).exists():
        raise UserError(f"{folder} has no {WEIGHTS}. Expected the weights of a model as safetensors.")
    return [folder / WEIGHTS]


def _parts(index: Path) -> list[Path]:
    """Return the files that an index names, all beside it."""
    names = read_settings(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise UserError(f"{index} is damaged: expected the name of a file for each tensor. Fetch the model again.")
    files = sorted(set(names.values()))
    outside = next((name for name in files if Path(name).name != name), None)
    if outside is not None:
        raise UserError(f"{index} names {outside!r}. Expected files beside it: do not use this model.")
    return [index.parent / name for name in files]


def _open(file: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(str(file), framework="pt")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} is damaged or missing: expected safetensors. Fetch the model again.") from error


def _bytes_of_tensors(file: Path) -> int:
    with _open(file) as opened:
        return sum(opened.get_tensor(name).nbytes for name in opened.offset_keys())


def _rewrite(
    file: Path, out: Path, replaced: Mapping[str, NDArray[np.float32]], renamed: Mapping[str, str | None]
) -> None:
    with _open(file) as opened:
        metadata = opened.metadata()
        header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
        kept = {name: new for name in opened.offset_keys() if (new := renamed.get(name, name)) is not None}
        position = 0
        for name, new in kept.items():
            tensor, dtype = opened.get_tensor(name), opened.get_slice(name).get_dtype()
            shape = replaced[name].shape if name in replaced else tuple(tensor.shape)
            size = math.prod(shape) * tensor.element_size()
            header[new] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + size]}
            position += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at multiples of 8 bytes
    with out.open("wb") as target:
        target.write(len(text).to_bytes(8, "little") + text)
        for name in kept:
            # Opened for each tensor: what was read stays in memory as long as the file is open.
            with _open(file) as opened:
                tensor = opened.get_tensor(name)
            target.writelines(_converted(replaced[name], tensor.dtype) if name in replaced else [_bytes(tensor)])


def _converted(values: NDArray[np.float32], dtype: torch.dtype) -> Iterator[memoryview]:
    import torch

    for start in range(0, len(values), _BLOCK_ROWS):
        yield _bytes(torch.from_numpy(np.ascontiguousarray(values[start : start + _BLOCK_ROWS])).to(dtype))


def _bytes(tensor: torch.Tensor) -> memoryview:
    import torch

    return memoryview(tensor.reshape(-1).view(torch.uint8).numpy().data)


def unpickle(folder: Path, out: Path) -> None:
    """Write the pickled weights of a folder as `out`/model.safetensors; the pickle is read without running code."""
    from safetensors.torch import save_file

    weights = read_pickled(folder, "cpu")
    save_file({name: tensor.clone() for name, tensor in weights.items()}, out / WEIGHTS, metadata={"format": "pt"})


def read_pickled(folder: Path, device: str) -> dict[str, torch.Tensor]:
    """Return the pickled weights of a folder, without running code; on the device `meta` only what shape they have.

    Raises:
        UserError: they are damaged or missing, hold more than tensors, or can only be read by running their code.
    """
    import torch

    index = folder / _PICKLED_INDEX
    weights: dict[str, torch.Tensor] = {}
    for file in _parts(index) if index.exists() else [folder / _PICKLED]:
        with library_errors(f"{file} cannot be read as pickled weights without running code from it"):
            # Files from before torch 1.6 are no archives, which alone can be mapped.
            mapped = zipfile.is_zipfile(file)
            content = torch.load(file, map_location=device, weights_only=True, mmap=mapped)
        if not isinstance(content, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in content.values()):
            raise UserError(f"{file} holds something else than the tensors of a model. Expected its weights by name.")
        weights |= content
    return weights
