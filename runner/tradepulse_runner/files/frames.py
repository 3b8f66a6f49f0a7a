"""Framed records: ``length:u32 crc32:u32 seq:u64 payload``, big-endian.

The CRC covers seq and payload, so that a torn or damaged record is detected.
"""

from __future__ import annotations

import struct
import zlib

_HEAD = struct.Struct(">IIQ")
MAX_PAYLOAD = 1 << 20


def frame(seq: int, payload: bytes) -> bytes:
    """One framed record."""
    crc = zlib.crc32(seq.to_bytes(8, "big") + payload)
    return _HEAD.pack(len(payload), crc, seq) + payload


def frame_at(data: bytes, offset: int) -> tuple[int, bytes, int] | None:
    """(seq, payload, where the next frame begins) of the frame at ``offset``; None: no good one."""
    if offset + _HEAD.size > len(data):
        return None
    length, crc, seq = _HEAD.unpack_from(data, offset)
    end = offset + _HEAD.size + length
    if length > MAX_PAYLOAD or end > len(data):
        return None
    payload = data[offset + _HEAD.size : end]
    if zlib.crc32(seq.to_bytes(8, "big") + payload) != crc:
        return None
    return seq, payload, end


def any_frame(data: bytes, start: int) -> bool:
    """Whether a good frame lies anywhere after ``start``: then the damage is in the middle."""
    return any(
        frame_at(data, offset) is not None for offset in range(start, len(data) - _HEAD.size + 1)
    )
