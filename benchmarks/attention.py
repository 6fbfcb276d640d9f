"""Why the attention is plain matrix products on CPUs in bf16: milliseconds of one layer, forward and backward.

python benchmarks/attention.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

HEADS, WIDTH, TOKENS, ROUNDS = 12, 32, 8192, 5


def plain(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention as two matrix products."""
    scores = torch.matmul(q, k.transpose(-1, -2)) * q.shape[-1] ** -0.5 + mask
    return torch.matmul(torch.softmax(scores, -1), v)


def fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Torch's fused attention."""
    return scaled_dot_product_attention(q, k, v, attn_mask=mask)


def milliseconds(attention: Callable[..., Tensor], length: int, dtype: torch.dtype) -> float:
    """Median of forward and backward together."""
    rows = TOKENS // length
    q, k, v = (torch.randn(rows, HEADS, length, WIDTH, dtype=dtype, requires_grad=True) for _ in range(3))
    mask = torch.zeros(rows, 1, length, length, dtype=dtype)
    times = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        torch.autograd.grad(attention(q, k, v, mask).sum(), (q, k, v))
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def main() -> None:
    """Print a table."""
    print("length  dtype     fused ms  plain ms  fused / plain")
    for dtype in (torch.bfloat16, torch.float32):
        for length in (8, 16, 32, 128, 256):
            a, b = (milliseconds(attention, length, dtype) for attention in (fused, plain))
            print(f"{length:6d}  {str(dtype)[6:]:8s} {a:9.0f} {b:9.0f} {a / b:14.1f}")


if __name__ == "__main__":
    main()
