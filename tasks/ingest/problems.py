"""What is wrong with an input: file, column, row numbers, counts; values of label columns, never an ID."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tasks.ingest.columns import (
    BAD_COUNT,
    GROUPED_COUNT,
    NOT_ONE_CAUSE,
    PROBABILITY,
    UNREADABLE,
    ColumnPlan,
)
from tasks.ingest.judge import ABSENT, NOT_ASKED, WRONG, unknown_label, unmapped_label
from tasks.ingest.reading import Reading
from tasks.ingest.reduce import ROW_BITS, Records
from tasks.ingest.repeats import repeated_counts, same_tables
from tasks.sources import OPEN_QUOTE, THOUSANDS
from tasks.terms import AGE_GROUPS, MAX_LABELS, CauseList, amount, other_age_group, show

FIRST_ROWS = 5
_ROW_MASK = (1 << ROW_BITS) - 1
_WITHOUT = {
    "algorithm": "without an algorithm",
    "age_group": "without an age group",
    "country": "without a country (NA is read as missing; for Namibia write its name)",
}


class Problems:
    """Asks the judged records of one input what refuses the run. names and plans: one for each source."""

    def __init__(
        self,
        records: Records,
        reading: Reading,
        causes: Mapping[str, CauseList],
        names: Sequence[str],
        plans: Sequence[ColumnPlan],
    ) -> None:
        self._records, self._reading, self._causes = records, reading, causes
        self._names, self._plans = names, plans
        self._counts = reading.has_counts
        self._found: list[str] = []
        for table in ("records", "groups"):
            records.db.execute(_seen(table, records.has_ids))

    def run(self) -> list[str]:
        """Every problem, one sentence each."""
        self._broken_cells()
        self._rows("count", f"bad = {BAD_COUNT}", "without a whole number of deaths, 0 or more")
        self._rows("count", f"bad = {GROUPED_COUNT}", f"with a number that {THOUSANDS}")
        self._repeated_counts()
        most_probable = "take the most probable cause of each death first, and mark it 1"
        self._rows("", f"bad = {PROBABILITY}", f"with probabilities; {most_probable}")
        if self._reading.bad_records == "refuse":
            self._bad_records()
        elif self._counts:  # how many deaths such a row has is not known
            self._unreadable()
        self._refused_causes("unmapped", self._reading.unmapped_causes)
        self._refused_causes("undetermined", self._reading.undetermined_causes)
        return self._found

    def _broken_cells(self) -> None:
        """A quotation mark that is not closed takes the next rows into one cell; such a cell is not shown."""
        for column, codes in self._records.codes.items():
            broken = [str(n) for n, label in enumerate(codes.labels) if _of_several_lines(label)]
            if broken:
                what = f"with a cell of several lines; most often {OPEN_QUOTE}"
                self._rows(column, f"{column} IN ({', '.join(broken)})", what)

    def _unreadable(self) -> None:
        self._rows("", f"bad = {UNREADABLE}", "with more or fewer cells than row 1, which names the columns")

    def _bad_records(self) -> None:
        before = len(self._found)
        self._unreadable()
        for column, names in (
            ("algorithm", self._reading.algorithms),
            ("age_group", AGE_GROUPS),
            ("country", ()),
        ):
            self._rows(column, f"{column}_state = '{ABSENT}' AND bad <> {UNREADABLE}", _WITHOUT[column])
            self._labels(column, f"{column}_state = '{WRONG}'", self._unknown(column, names))
        self._rows("id", f"no_id AND bad <> {UNREADABLE}", "without an ID")
        self._duplicates()
        self._rows(
            "",
            f"bad = {NOT_ONE_CAUSE}",
            f"without exactly one cause marked 1, all others 0{self._not_causes()}",
        )
        if len(self._found) > before:
            self._found.append(self._go_on())

    def _go_on(self) -> str:
        """Setting rows aside is advised only where it leaves something of every algorithm."""
        left = self._records.rows("SELECT DISTINCT algorithm FROM judged WHERE disposition <> 'rejected'")
        without = [name for name in self._reading.algorithms if (name,) not in left]
        if without:
            rest = " and ".join(without)
            return f"without such rows nothing is left of {rest}: correct the input or the request"
        return "to go on without such rows, set bad_records: reject; they are then counted and reported"

    def _duplicates(self) -> None:
        if not self._some("duplicate"):
            return
        for name, ids, rows, first in self._records.rows(
            f"SELECT algorithm_name, count(DISTINCT id), count(*), min(pos, {FIRST_ROWS}) FROM seen_records "
            "WHERE duplicate GROUP BY algorithm_name ORDER BY algorithm_name"
        ):
            occur = "occurs" if ids == 1 else "occur"
            self._found.append(
                f"{self._where(first, rows, 'id')}: {amount(ids, 'ID')} of algorithm {name} {occur} "
                f"more than once, in {amount(rows, 'row')}"
            )

    def _not_causes(self) -> str:
        """Columns of a 0/1 matrix that were not taken for causes, but may have been meant."""
        unused = {name for plan in self._plans for name in plan.unused}
        near = [
            name for name in sorted(unused) if any(causes.nearest(name) for causes in self._causes.values())
        ]
        return f" (not known as causes: {', '.join(map(show, near[:MAX_LABELS]))})" if near else ""

    def _repeated_counts(self) -> None:
        """The same count twice is a mistake, unless other columns, summed over, tell the rows apart."""
        if not self._reading.has_counts or self._reading.counts is not None:
            return
        self._found += [
            f"{self._names[second]}: has the same counts as {self._names[first]}; give one of them, or add a "
            "column that tells them apart"
            for first, second in same_tables(self._records, [plan.folders for plan in self._plans])
        ]
        rows, first = repeated_counts(self._records, FIRST_ROWS)
        if rows:
            what = "give deaths for the same algorithm, cause and stratum; keep one of each"
            self._found.append(f"{self._where(first, rows, '')}: {amount(rows, 'row')} that {what}")

    def _refused_causes(self, treatment: str, option: str) -> None:
        if option != "error":
            return
        known = (
            f" (known causes: vacal causes {' or '.join(self._causes)})" if treatment == "unmapped" else ""
        )
        if self._labels("cause", f"treatment = '{treatment}'", self._cause):
            self._found += self._doubts() if treatment == "unmapped" else []
            meaning = (
                "to have labels of another list mean a broad cause (or Undetermined, or Stillbirth), name them in "
                "cause_labels; "
            )
            self._found.append(
                (meaning if treatment == "unmapped" and self._reading.study_cause_map is None else "")
                + f"to leave {treatment} causes out, counted and reported, set {treatment}_causes: exclude"
                + known
            )

    def _doubts(self) -> list[str]:
        """Doubts of an age group most of whose labels are of the other one's list."""
        if self._reading.study_cause_map is not None:
            return []
        texts, found = self._records.codes["cause"].labels, []
        for age_group, causes in self._causes.items():
            seen = self._records.rows(
                f"SELECT DISTINCT cause FROM seen_groups WHERE age_group_name = '{age_group}'"
            )
            labels = [text for (code,) in seen if (text := texts[code])]
            others = [group for label in labels if (group := other_age_group(label, age_group))]
            own = sum(causes.match(label).treatment == "mapped" for label in labels)
            if len(others) > max(len(labels) / 2, own):
                found.append(
                    f"{len(others)} of {amount(len(labels), 'cause label')} of age group {age_group} "
                    f"{'belongs' if len(others) == 1 else 'belong'} to age group {others[0]}: is the age "
                    "group right?"
                )
        return found

    def _cause(self, age_group: str, label: str) -> str:
        causes = self._causes[age_group]
        if causes.match(label).treatment == "undetermined":
            return f"{show(label)} says that no cause was determined"
        return unmapped_label(label, causes)

    @staticmethod
    def _unknown(column: str, names: Sequence[str]) -> Callable[[str, str], str]:
        return lambda _, label: unknown_label(column, label, names)

    def _some(self, condition: str) -> bool:
        """Whether any record fits; asked of the groups, which are few."""
        return bool(self._records.rows(f"SELECT count(*) FROM seen_groups WHERE {condition}")[0][0])

    def _labels(self, column: str, condition: str, sentence: Callable[[str, str], str]) -> bool:
        """One problem for each of the most frequent labels of the records that fit."""
        if not self._some(condition):
            return False
        group = "age_group_name" if column == "cause" else "''"
        found = self._records.rows(
            f"""SELECT {group} AS age_group, {column} AS label, sum(n)::BIGINT AS total, count(*),
                min(pos, {FIRST_ROWS}) FROM seen_records WHERE {condition}
            GROUP BY ALL ORDER BY total DESC, min(pos)"""
        )
        unit = "death" if self._counts else "record"
        texts = self._records.codes[column].labels
        found = [row for row in found if not _of_several_lines(texts[row[1]])]
        for age_group, code, total, rows, first in found[:MAX_LABELS]:
            text = texts[code] or ""
            where = self._where(first, rows, column)
            self._found.append(f"{where}: {sentence(age_group, text)} ({amount(total, unit)})")
        if rest := found[MAX_LABELS:]:
            total = sum(row[2] for row in rest)
            self._found.append(
                f"{amount(len(rest), 'more such label')} in column '{column}' ({amount(total, unit)})"
            )
        return bool(found)

    def _rows(self, column: str, condition: str, what: str) -> None:
        """One problem for all records that fit."""
        if self._some(condition):
            rows, first = self._records.rows(
                f"SELECT count(*), min(pos, {FIRST_ROWS}) FROM seen_records WHERE {condition}"
            )[0]
            self._found.append(f"{self._where(first, rows, column)}: {amount(rows, 'row')} {what}")

    def _where(self, first: Sequence[int], rows: int, column: str) -> str:
        """File, column and the first row numbers: "a.csv, column 'cause', rows 5, 9 and 3 more"."""
        by_file: dict[int, list[int]] = {}
        for pos in first:
            by_file.setdefault(pos >> ROW_BITS, []).append(pos & _ROW_MASK)
        parts = []
        for file, numbers in by_file.items():
            name = self._column(column, file)
            place = f"{self._names[file]}, column {show(name)}" if name else self._names[file]
            if numbers[0]:
                place += f", {'row' if len(numbers) == 1 else 'rows'} {', '.join(map(str, numbers))}"
            parts.append(place)
        more = rows - len(first) if first[0] & _ROW_MASK else 0
        return "; ".join(parts) + (f" and {more} more" if more else "")

    def _column(self, part: str, file: int) -> str:
        """Name of the file's column that plays the part; empty where there is none."""
        plan = self._plans[file]
        if part in plan.labels:
            return plan.labels[part].column or ""
        return {"id": plan.id, "count": plan.count}.get(part) or ""


def _of_several_lines(label: str | None) -> bool:
    return label is not None and ("\n" in label or "\r" in label)


def _seen(table: str, has_ids: bool) -> str:
    """A view of the records (or groups) of the algorithms asked for, with the meaning of their codes."""
    if table == "groups":
        ids, join = "r.no_id, r.duplicate", ""
    else:
        ids = f"{'r.id IS NULL' if has_ids else 'false'} AS no_id, d.id IS NOT NULL AS duplicate"
        join = "LEFT JOIN duplicates d ON d.algorithm = r.algorithm AND d.id = r.id"
    return f"""CREATE TEMP VIEW seen_{table} AS
        SELECT r.* {"" if table == "records" else "EXCLUDE (no_id, duplicate)"}, {ids}, t.treatment,
               a.name AS algorithm_name, a.state AS algorithm_state, e.name AS age_group_name,
               e.state AS age_group_state, c.state AS country_state
        FROM {table} r {join}
        JOIN algorithm_label a ON a.code = r.algorithm
        JOIN age_group_label e ON e.code = r.age_group
        JOIN country_label c ON c.code = r.country
        LEFT JOIN treatment t ON t.age_group = r.age_group AND t.label = r.cause
        WHERE a.state <> '{NOT_ASKED}'"""


def nothing_to_use(records: Records, reading: Reading) -> list[str]:
    """What stops a run whose records are in order: an algorithm without any, or none to calibrate."""
    received = dict(records.rows("SELECT algorithm, sum(n)::BIGINT FROM judged GROUP BY algorithm"))
    absent = [name for name in reading.algorithms if not received.get(name)]
    if absent:
        nothing = "the input has no records of algorithm {}, which the request names"
        zero = "every number of deaths of algorithm {} in the input is 0"
        return [(zero if name in received else nothing).format(name) for name in absent]
    left = records.rows("SELECT reason, sum(n)::BIGINT FROM judged GROUP BY reason ORDER BY 2 DESC, 1")
    if any(reason is None and count for reason, count in left):
        return []
    why = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in left if reason)
    return [f"no record of the input can be calibrated ({why})"]
