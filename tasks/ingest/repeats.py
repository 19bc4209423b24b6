"""The same counts twice: rows that repeat each other, and files that do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.ingest.columns import VALID
from tasks.ingest.reduce import ROW_BITS, Records
from tasks.terms import normal


def repeated_counts(records: Records, first: int) -> tuple[int, Sequence[int]]:
    """How many rows of a file give deaths for the same algorithm, cause and stratum, and where the first are.

    Rows that other columns tell apart are no repeats, unless they have the same number of deaths too and so
    are equal in every cell. Needs the tables `place`, `algorithm_label` and, by `name_causes`, `cause_name`.
    """
    key = f"pos >> {ROW_BITS}, {_SAME}, others, CASE WHEN others IS NULL THEN 0 ELSE n END"
    rows, places = records.rows(
        f"""SELECT count(*), min(pos, {first}) FROM (SELECT pos FROM ({_counts(records)})
        QUALIFY count(*) OVER (PARTITION BY {key}) > 1)"""
    )[0]
    return rows, places


def same_tables(records: Records, folders: Sequence[Mapping[str, str]]) -> list[tuple[int, int]]:
    """Pairs of files (their numbers) that hold the same counts, in whatever order and spelling.

    folders: by file, what its folders say, which may tell it apart.
    """
    found = records.rows(
        f"""SELECT pos >> {ROW_BITS} AS file, count(*), sum(n), bit_xor(hash({_SAME}, n, others))
        FROM ({_counts(records)}) GROUP BY file ORDER BY file"""
    )
    first: dict[tuple[object, ...], int] = {}
    pairs = [
        (first.setdefault((*content, *sorted(folders[file].items())), file), file) for file, *content in found
    ]
    return [(earlier, file) for earlier, file in pairs if earlier != file]


_SAME = "algorithm_name, cause_name, stratum"


def _counts(records: Records) -> str:
    """Valid counts with the names of their algorithm, cause (as the input calls it) and stratum."""
    _name_causes(records)
    place = ", ".join(column for column in records.codes if column not in ("algorithm", "cause"))
    return f"""SELECT r.pos, r.n, r.others, p.stratum, a.name AS algorithm_name, c.name AS cause_name
        FROM records r JOIN place p USING ({place}) JOIN algorithm_label a ON a.code = r.algorithm
        JOIN cause_name c ON c.code = r.cause WHERE r.bad = {VALID}"""


def _name_causes(records: Records) -> None:
    """The table `cause_name`: each cause label without regard to case."""
    if not records.rows("SELECT 1 FROM duckdb_tables() WHERE table_name = 'cause_name'"):
        labels = enumerate(records.codes["cause"].labels)
        records.lookup("cause_name", ("code", "name"), [(code, normal(text or "")) for code, text in labels])
