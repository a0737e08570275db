"""gz, zstd, bz2 and xz streams, unpacked in bounded blocks; anything but whole members or frames up
to the last byte is an error.

All allow several members (frames, streams) in a row, and the usual decoders end silently where a
frame is cut (zstandard's stream_reader) or where the file is cut between two (all). The first is
caught here, the second by the pinned size and hash.
"""

from __future__ import annotations

from bz2 import BZ2Decompressor
from collections.abc import Callable, Iterator
from functools import partial
from lzma import FORMAT_XZ, LZMADecompressor, LZMAError
from typing import Any

from zlib_ng import zlib_ng

from mixtures.errors import InputError
from pipeline.inputs.file import InputFile
from pipeline.inputs.readers.raw import RawFile
from pipeline.inputs.readers.rows import MEBIBYTE, ReadLimits

# A run-length block of zstd makes 128 KiB of 4 bytes: a slice bounds what one call may return to
# 128 MiB, whatever the file holds.
_ZSTD_SLICE_BYTES = 4096
_ZSTD_HEADER_BYTES = 18  # at most, of a frame
ZSTD_WINDOW_BYTES = 1 << 31
"""The largest window of a zstd frame, which its decoder holds in memory."""
_XZ_BYTES = 1 << 28  # of memory that a stream may ask for; `xz -9` needs 65 MiB
_GZIP_WINDOW = 31  # of zlib: 15 bits of window, + 16 for gzip's header and trailer


def unpacked_blocks(raw: RawFile, packing: str | None, limits: ReadLimits) -> Iterator[bytes]:
    """The file's unpacked bytes in order, in blocks of about a mebibyte.

    Args:
        packing: gz, zst, bz2 or xz; None: nothing to unpack.
    Raises: InputError if the stream is truncated or damaged, or unpacks to more than the limits
        allow.
    """
    if packing is None:
        return raw.blocks()
    return _gathered(_bounded(_PIECES[packing](raw), raw, limits))


class _Beginning(RawFile):
    """The first bytes of a file, which were read already."""

    def __init__(self, packed: bytes) -> None:
        super().__init__(InputFile("", "", len(packed)))
        self._packed = packed

    def blocks(self, block_bytes: int = 1 << 16) -> Iterator[bytes]:
        for start in range(0, len(self._packed), block_bytes):
            yield self._packed[start : start + block_bytes]


def unpacked_head(packed: bytes, packing: str, num_bytes: int) -> tuple[bytes, bool]:
    """What the beginning of a packed file unpacks to, num_bytes at most, and whether that is all of
    it: False if there was more, or if `packed` ends inside a member or is damaged.
    """
    head = b""
    try:
        for piece in _PIECES[packing](_Beginning(packed)):
            head += piece[:num_bytes]
            if len(head) >= num_bytes:
                return head[:num_bytes], False
    except InputError:
        return head, False
    return head, True


def _gzip_pieces(raw: RawFile) -> Iterator[bytes]:
    member, members = None, 0
    for packed in raw.blocks():
        while packed:
            if member is None:
                packed = packed.lstrip(b"\0") if members else packed  # gzip pads with zeros
                if not packed:
                    break
                member, members = zlib_ng.decompressobj(_GZIP_WINDOW), members + 1
            try:
                yield member.decompress(packed, MEBIBYTE)
            except zlib_ng.error as error:  # type: ignore[misc]  # its stub has an instance there
                raise _damaged(raw, "gz", str(error)) from None
            packed, member = (
                (member.unused_data, None) if member.eof else (member.unconsumed_tail, member)
            )
    if member is not None:
        raise _truncated(raw, "gz member")


def _zstd_pieces(raw: RawFile) -> Iterator[bytes]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    frame, waiting = None, b""
    for block in _and_end(_sliced(raw.blocks())):
        packed = waiting + (block or b"")
        waiting = b""
        while packed:
            if frame is None:
                if block is not None and len(packed) < _ZSTD_HEADER_BYTES:
                    waiting = packed
                    break
                _check_frame(raw, packed)
                frame = decompressor.decompressobj()
            try:
                yield frame.decompress(packed)
            except (zstandard.ZstdError, MemoryError) as error:
                raise _damaged(raw, "zstd", str(error)) from None
            packed, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    if frame is not None:
        raise _truncated(raw, "zstd frame")


def _sliced(blocks: Iterator[bytes]) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), _ZSTD_SLICE_BYTES):
            yield block[start : start + _ZSTD_SLICE_BYTES]


def _and_end(blocks: Iterator[bytes]) -> Iterator[bytes | None]:
    yield from blocks
    yield None


def _check_frame(raw: RawFile, packed: bytes) -> None:
    """Refuse a frame that asks for a dictionary, or for a larger window than is allowed.

    Args:
        packed: begins with the frame's header. One that is damaged is left to the decoder.
    """
    import zstandard

    try:
        frame = zstandard.get_frame_parameters(packed)
    except zstandard.ZstdError as error:
        if "too much memory" not in str(error):
            return
        raise InputError(
            f"{raw.file.url}: has a zstd window of more than {ZSTD_WINDOW_BYTES:,} bytes; pack it"
            " again with --long=31 or less"
        ) from None
    if frame.dict_id:
        raise InputError(
            f"{raw.file.url}: is packed by zstd with the dictionary {frame.dict_id}, which is not"
            " in the file; unpack it with that dictionary"
        )


def _bz2_pieces(raw: RawFile) -> Iterator[bytes]:
    return _stream_pieces(raw, "bz2", BZ2Decompressor, b"")


def _xz_pieces(raw: RawFile) -> Iterator[bytes]:
    return _stream_pieces(raw, "xz", partial(LZMADecompressor, FORMAT_XZ, _XZ_BYTES), b"\0")


def _stream_pieces(
    raw: RawFile, packing: str, make: Callable[[], Any], padding: bytes
) -> Iterator[bytes]:
    """Streams of the standard library's decoders, which keep what they could not yet unpack.

    padding: what may stand between two streams.
    """
    stream, streams = None, 0
    for packed in raw.blocks():
        while packed:
            if stream is None:
                packed = packed.lstrip(padding) if streams and padding else packed
                if not packed:
                    break
                stream, streams = make(), streams + 1
            try:
                yield stream.decompress(packed, MEBIBYTE)
                while not (stream.eof or stream.needs_input):
                    yield stream.decompress(b"", MEBIBYTE)
            except (OSError, EOFError, LZMAError, MemoryError) as error:
                raise _damaged(raw, packing, str(error)) from None
            packed, stream = (stream.unused_data, None) if stream.eof else (b"", stream)
    if stream is not None:
        raise _truncated(raw, f"{packing} stream")


_PIECES: dict[str, Callable[[RawFile], Iterator[bytes]]] = {
    "gz": _gzip_pieces,
    "zst": _zstd_pieces,
    "bz2": _bz2_pieces,
    "xz": _xz_pieces,
}


def _bounded(pieces: Iterator[bytes], raw: RawFile, limits: ReadLimits) -> Iterator[bytes]:
    allowed, total = limits.unpacked_bytes(raw.file.size), 0
    for piece in pieces:
        total += len(piece)
        if total > allowed:
            raise unpacks_too_far(raw, total, allowed)
        yield piece


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Small pieces joined to blocks of a mebibyte or more, since what follows pays for each
    block.
    """
    waiting: list[bytes] = []
    num_bytes = 0
    for piece in pieces:
        waiting.append(piece)
        num_bytes += len(piece)
        if num_bytes >= MEBIBYTE:
            yield b"".join(waiting)
            waiting, num_bytes = [], 0
    if num_bytes:
        yield b"".join(waiting)


def unpacks_too_far(raw: RawFile, unpacked: int, allowed: int) -> InputError:
    """The error for a file that unpacks to more than `ReadLimits.unpacked_bytes`."""
    return InputError(
        f"{raw.file.url}: {raw.file.size:,} bytes unpack to {unpacked:,} or more, {allowed:,} are"
        " allowed: a decompression bomb; remove the file, or split it if it is meant"
    )


def _truncated(raw: RawFile, what: str) -> InputError:
    return InputError(
        f"{raw.file.url}: the file is truncated: its last {what} has no end after {raw.size:,}"
        " bytes; fetch it again"
    )


def _damaged(raw: RawFile, packing: str, message: str) -> InputError:
    return InputError(
        f"{raw.file.url}: the {packing} stream is damaged before byte {raw.size:,} ({message});"
        " fetch it again"
    )
