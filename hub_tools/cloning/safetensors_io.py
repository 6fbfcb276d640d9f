"""The weights of a model as safetensors: read through a memory map, and copied as a stream with some replaced.

Nothing here holds more than one block of a tensor that is only copied, so a model of any size passes through.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.errors import UserError
from hub_tools.core.files import read_json, write_json

if TYPE_CHECKING:
    import torch

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_BLOCK_BYTES = 1 << 24
_BLOCK_ROWS = 8192
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """A tensor in a file.

    Attributes:
        file: the safetensors file.
        dtype: as safetensors names it, e.g. F32 or BF16.
        shape: its shape.
        start: its first byte in the file.
        end: the byte after its last.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class LazyEmbedding:
    """A tensor of any floating dtype that gives its rows as float32, as an array would; it is never held so as a whole.

    Args:
        tensor: in a memory map.
    """

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor
        self.shape = tuple(tensor.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        import torch

        chosen = self._tensor[which if isinstance(which, slice) else torch.from_numpy(np.ascontiguousarray(which))]
        rows: NDArray[np.float32] = chosen.float().numpy()
        return rows


# What a teacher's rows may be for whoever only asks for some of them at a time.
AnyRows = NDArray[np.float32] | LazyEmbedding


class SafetensorsFiles:
    """The tensors of a folder with model.safetensors, or with several files and an index.

    Args:
        folder: of one module.

    Raises:
        UserError: there are no safetensors, or they are damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = _files(folder)
        self.tensors = {name: stored for file in self.files for name, stored in _read_header(file)[0].items()}

    @property
    def bytes(self) -> int:
        """Size of all tensors."""
        return sum(stored.end - stored.start for stored in self.tensors.values())

    def read(self, name: str) -> torch.Tensor:
        """A tensor in its own dtype; memory is taken only for the parts that are looked at."""
        from safetensors import safe_open

        with safe_open(str(self.tensors[name].file), framework="pt") as file:
            found: torch.Tensor = file.get_tensor(name)
        return found

    def read_rows(self, name: str) -> LazyEmbedding:
        """A tensor whose rows are read as they are asked for."""
        return LazyEmbedding(self.read(name))

    def write(self, out: Path, replaced: Mapping[str, NDArray[np.float32]], dropped: Collection[str] = ()) -> None:
        """Copy all files, byte for byte but for some tensors.

        Args:
            out: the folder to write to.
            replaced: tensor name -> new values, float32; they are stored in the dtype of what they replace.
            dropped: names of tensors that are left out.
        """
        for file in self.files:
            if {*replaced, *dropped} & _read_header(file)[0].keys():
                _rewrite(file, out / file.name, replaced, dropped)
            else:
                shutil.copyfile(file, out / file.name)
        if (self.folder / INDEX).exists():
            index = read_json(self.folder / INDEX)
            index["weight_map"] = {k: v for k, v in index["weight_map"].items() if k not in dropped}
            headers = [_read_header(out / file.name)[0] for file in self.files]
            size = sum(tensor.end - tensor.start for header in headers for tensor in header.values())
            index["metadata"] = {**index.get("metadata", {}), "total_size": size}
            write_json(out / INDEX, index)


def _files(folder: Path) -> list[Path]:
    if (folder / INDEX).exists():
        names = sorted(set(read_json(folder / INDEX)["weight_map"].values()))
        outside = next((name for name in names if Path(name).name != name), None)
        if outside is not None:
            raise UserError(f"{folder / INDEX} names {outside!r}. Expected files beside it: do not use this model.")
        return [folder / name for name in names]
    if not (folder / WEIGHTS).exists():
        raise UserError(f"{folder} has no {WEIGHTS}. Expected the weights of a model as safetensors.")
    return [folder / WEIGHTS]


def _read_header(file: Path) -> tuple[dict[str, TensorInfo], dict[str, Any]]:
    """The tensors of a file in the order of their bytes, and its metadata."""
    try:
        with file.open("rb") as source:
            length = int.from_bytes(source.read(8), "little")
            header = json.loads(source.read(length))
    except (OSError, ValueError, MemoryError, OverflowError) as error:
        raise UserError(f"{file} is damaged or missing: expected safetensors. Fetch the model again.") from error
    metadata = header.pop("__metadata__", {})
    ordered = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
    found = {}
    for name, entry in ordered:
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        found[name] = TensorInfo(file=file, dtype=entry["dtype"], shape=tuple(entry["shape"]), start=start, end=end)
    return found, metadata


def _rewrite(file: Path, out: Path, replaced: Mapping[str, NDArray[np.float32]], dropped: Collection[str]) -> None:
    stored, metadata = _read_header(file)
    kept = {name: tensor for name, tensor in stored.items() if name not in dropped}
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    position = 0
    for name, tensor in kept.items():
        shape = replaced[name].shape if name in replaced else tensor.shape
        size = replaced[name].size * _BYTES[tensor.dtype] if name in replaced else tensor.end - tensor.start
        header[name] = {"dtype": tensor.dtype, "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at multiples of 8 bytes
    with file.open("rb") as source, out.open("wb") as target:
        target.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in kept.items():
            if name in replaced:
                target.writelines(_encoded(replaced[name], tensor.dtype))
            else:
                _copy(source, target, tensor)


def _encoded(values: NDArray[np.float32], dtype: str) -> Iterable[memoryview]:
    """The bytes of an array in a dtype of safetensors, block by block."""
    import torch

    wanted = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[dtype]
    for start in range(0, len(values), _BLOCK_ROWS):
        block = torch.from_numpy(np.ascontiguousarray(values[start : start + _BLOCK_ROWS])).to(wanted)
        yield memoryview(block.view(torch.uint8).numpy().data).cast("B")


def _copy(source: BinaryIO, target: BinaryIO, tensor: TensorInfo) -> None:
    source.seek(tensor.start)
    left = tensor.end - tensor.start
    while left:
        block = source.read(min(left, _BLOCK_BYTES))
        target.write(block)
        left -= len(block)


def unpickle(folder: Path, out: Path) -> None:
    """Write pickled weights as safetensors; the pickle is read without running code.

    Args:
        folder: with pytorch_model.bin, or its parts and their index.
        out: gets model.safetensors.
    """
    import torch
    from safetensors.torch import save_file

    index = folder / "pytorch_model.bin.index.json"
    names = sorted(set(read_json(index)["weight_map"].values())) if index.exists() else ["pytorch_model.bin"]
    weights: dict[str, torch.Tensor] = {}
    for name in names:
        # Files from before torch 1.6 are no archives, which alone can be mapped.
        mapped = zipfile.is_zipfile(folder / name)
        weights |= torch.load(folder / name, map_location="cpu", weights_only=True, mmap=mapped)
    save_file({name: tensor.clone() for name, tensor in weights.items()}, out / WEIGHTS, metadata={"format": "pt"})
