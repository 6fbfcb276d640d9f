"""What tests ask of pictures."""

from __future__ import annotations

import struct


def picture_size(content: bytes) -> tuple[int, int]:
    """Return width and height of a PNG, in pixels."""
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    return width, height
