"""Where models run and in which arithmetic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from hub_tools.core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Where a model runs and in which arithmetic.

    Attributes:
        device: cuda, mps or cpu.
        precision: fp32, or bf16 for products in bf16 with weights in fp32.
    """

    device: str
    precision: str

    def __str__(self) -> str:
        return f"{self.device} in {self.precision}"

    @property
    def exact(self) -> Hardware:
        """The same device in fp32."""
        return replace(self, precision="fp32")


def choose_hardware(device: str, precision: str) -> Hardware:
    """The hardware to use; `auto` takes the fastest device, and bf16 where it is faster than fp32 there.

    Raises:
        UserError: a device was asked for that is not there.
    """
    there = devices()
    if device == "auto":
        device = next(name for name, available in there.items() if available)
    if not there[device]:
        raise UserError(f"--device {device}: torch finds no such device here. Use --device auto or cpu.")
    if precision == "auto":
        precision = "bf16" if _gains_from_bf16(device) else "fp32"
    return Hardware(device=device, precision=precision)


def devices() -> dict[str, bool]:
    """Kind of device -> whether there is one, the fastest first."""
    import torch

    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


def _gains_from_bf16(device: str) -> bool:
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and _cpu_gains_from_bf16()


def _cpu_gains_from_bf16() -> bool:
    """Time matrix products in each; a list of processors would never be complete."""
    import torch

    def seconds(size: int, dtype: torch.dtype) -> float:
        a, b = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
        times = []
        for _ in range(4):
            start = time.perf_counter()
            torch.mm(a, b)
            times.append(time.perf_counter() - start)
        return min(times)

    def ratio(size: int) -> float:
        return seconds(size, torch.bfloat16) / seconds(size, torch.float32)

    # A processor that only emulates bf16 takes a hundred times as long: a small product shows that in no time.
    return ratio(256) < 4 and ratio(1024) < 0.8  # noqa: PLR2004


@contextmanager
def autocast(hardware: Hardware) -> Iterator[None]:
    """bf16 arithmetic with fp32 weights, or nothing."""
    import torch

    with torch.autocast(device_type=hardware.device, dtype=torch.bfloat16, enabled=hardware.precision == "bf16"):
        yield
