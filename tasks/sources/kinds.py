"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

SAVE_AS_CSV = "save it as CSV UTF-8"
NOT_UTF8 = f"is not UTF-8 text; {SAVE_AS_CSV}"

_KINDS = (
    (b"PAR1", "is a Parquet file; let its name end in .parquet"),
    (b"PK\x03\x04", f"is a workbook or another zip archive; {SAVE_AS_CSV}"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"is an Excel workbook; {SAVE_AS_CSV}"),
    (b"\xff\xfe", f"is UTF-16 text; {SAVE_AS_CSV}"),
    (b"\xfe\xff", f"is UTF-16 text; {SAVE_AS_CSV}"),
    (b"\x1f\x8b", "is compressed twice by gzip, or is not what its name says; unpack it"),
    (b"BZh", "is compressed by bzip2; unpack it, or use gzip"),
    (b"\xfd7zXZ\x00", "is compressed by xz; unpack it, or use gzip"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd; unpack it, or use gzip"),
    (b"RDX", "is an R data file; write it with write.csv"),
    (b"X\n\x00\x00", "is an R data file; write it with write.csv"),
    (b"$FL2", f"is an SPSS file; {SAVE_AS_CSV}"),
    (b"<stata_dta>", f"is a Stata file; {SAVE_AS_CSV}"),
    (b"<!doctype html", f"is a web page, perhaps that of a login; {SAVE_AS_CSV}"),
    (b"<html", f"is a web page, perhaps that of a login; {SAVE_AS_CSV}"),
    (b"<?xml", f"is XML; {SAVE_AS_CSV}"),
    (b"{", f"is JSON, not a table; {SAVE_AS_CSV}"),
    (b"[", f"is JSON, not a table; {SAVE_AS_CSV}"),
)


def other_kind(head: bytes) -> str | None:
    """What a file that should be CSV is instead, and what to do; None where it may be CSV."""
    start = head[:64].lower()
    for magic, what in _KINDS:
        if start.startswith(magic.lower()):
            return what
    return f"is not text, or is UTF-16; {SAVE_AS_CSV}" if b"\0" in head[:4096] else None
