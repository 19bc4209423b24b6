"""A file's bytes as they pass by: counted and hashed, unpacked, watched for quotation marks."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from tasks.sources.find import BLOCK


class Passing(io.RawIOBase):
    """Passes bytes on; keeps their number and SHA-256."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Digest (hex) of what has passed."""
        return self._digest.hexdigest()

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = bytes(self._inner.read(size if size > 0 else BLOCK))
        self.size += len(data)
        self._digest.update(data)
        return data

    def rest(self) -> None:
        """Reads to the end."""
        while self.read(BLOCK):
            pass


class Text(io.RawIOBase):
    """Passes a text on and shows it to `watch`; the last line gets an end where it has none."""

    def __init__(self, inner: Any, watch: Callable[[bytes], None]) -> None:
        self._inner, self._watch = inner, watch
        self._last = b"\n"
        self._over = False

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as many as there are: a parser takes what it gets for a whole block."""
        size = size if size > 0 else BLOCK
        parts: list[bytes] = []
        while size > 0 and not self._over:
            part = bytes(self._inner.read(size))
            self._over = not part
            self._watch(part)
            self._last = part[-1:] or self._last
            parts.append(part)
            size -= len(part)
        if self._over and self._last not in b"\n\r":
            self._last = b"\n"
            parts.append(b"\n")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def rest(self) -> None:
        """Reads to the end."""
        while self.read(BLOCK):
            pass


class Joined(io.RawIOBase):
    """Bytes that were read already, then the rest of the file."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        if not self._head:
            return bytes(self._rest.read(size))
        head, self._head = self._head, b""
        return head + bytes(self._rest.read(max(size - len(head), 0) if size > 0 else BLOCK))


def unpacked(file: Any) -> Any:
    """The file's text, unpacked if it is gzip (known by its first bytes, whatever its name)."""
    head = file.read(2)
    whole = Joined(head, file)
    return pa.CompressedInputStream(pa.PythonFile(whole, mode="r"), "gzip") if head == b"\x1f\x8b" else whole
