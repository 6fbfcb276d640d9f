"""Where models run and in which arithmetic."""

from __future__ import annotations

import ctypes
import sys
import timeit
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from hub_tools.core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Where a model runs and in which arithmetic."""

    device: str  # cuda, mps or cpu
    precision: str  # fp32, or bf16 for products in bf16 with weights in fp32

    def __str__(self) -> str:
        return f"{self.device} in {self.precision}"

    @property
    def exact(self) -> Hardware:
        """The same device in fp32."""
        return replace(self, precision="fp32")


def choose_hardware(device: str, precision: str) -> Hardware:
    """Choose where to run: `auto` takes the fastest device, and bf16 where it is faster than fp32 there.

    On a CPU, `auto` times a few products of matrices. A device that torch does not find is a UserError.
    """
    device = choose_device(device)
    if precision == "auto":
        precision = "bf16" if _gains_from_bf16(device) else "fp32"
    return Hardware(device=device, precision=precision)


def choose_device(device: str) -> str:
    """Return cuda, mps or cpu as `choose_hardware` does, without timing anything."""
    available = devices()
    if device == "auto":
        device = next(name for name, is_available in available.items() if is_available)
    if not available[device]:
        raise UserError(f"--device {device}: torch finds no such device here. Use --device auto or cpu.")
    return device


def devices() -> dict[str, bool]:
    """Return kind of device -> whether torch finds one, the fastest first."""
    import torch

    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


# Time of a product in bf16 by that in fp32: from the first on it is emulated, below the second it is worth it.
_EMULATED, _FASTER = 4, 0.8


def _gains_from_bf16(device: str) -> bool:
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))

    def seconds(size: int, dtype: torch.dtype) -> float:
        matrix = torch.ones(size, size, dtype=dtype)
        return min(timeit.repeat(lambda: torch.mm(matrix, matrix), number=1, repeat=4))

    def ratio(size: int) -> float:
        return seconds(size, torch.bfloat16) / seconds(size, torch.float32)

    # Timed, because a list of processors would never be complete. A processor that only emulates bf16 takes a hundred
    # times as long: a small product shows that in no time.
    return device == "cpu" and ratio(256) < _EMULATED and ratio(1024) < _FASTER


def keep_freed_memory() -> None:
    """Let the C library keep the memory of freed tensors for the whole process instead of giving it back at each step.

    Otherwise every large tensor on the CPU is mapped and zeroed again, a noticeable part of a training step. Only glibc
    has these switches; elsewhere nothing happens.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        for switch, value in ((-4, 0), (-1, 2**31 - 1)):  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
            libc.mallopt(switch, value)


def autocast(hardware: Hardware) -> AbstractContextManager[Any]:
    """Return a context in which models compute in bf16 with fp32 weights, or as the weights are stored."""
    import torch

    return torch.autocast(device_type=hardware.device, dtype=torch.bfloat16, enabled=hardware.precision == "bf16")
