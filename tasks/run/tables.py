"""From what R computed for a chunk to the tables of the results, with their identity columns and caveats."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.engine import BatchResult, Floats
from tasks.ingest import Tabulation
from tasks.matrices import Inventory
from tasks.request import CalibrationRequest
from tasks.results import ALL, ENSEMBLE, conform, quantile_name
from tasks.run.chunks import Chunk
from tasks.run.joint_tables import (
    BORROWED,
    divergent,
    joint_fit_rows,
    misfit_of,
    misfit_rows,
    plain_reasons,
    without_too_few,
)
from tasks.terms import only_in_who_2022

if TYPE_CHECKING:
    import pandas as pd

TOO_FEW = "too_few_deaths"
NOT_FITTED = ("not_fitted", "failed")

_FIT_FLAGS = ("path_correction_stalled", "estimate_is_noop", "interval_unreliable")
_NOT_IN_TABLE = ("disagrees", "algorithms_disagree", "borrowed", "divergent", "provisional", *_FIT_FLAGS)


@dataclass(frozen=True)
class Identity:
    """What every row of a run's tables carries, and the columns that the request gives them."""

    constants: Mapping[str, Any]
    strata_columns: tuple[str, ...]
    quantiles: tuple[float, ...]

    @classmethod
    def of(
        cls, run: str, request: CalibrationRequest, inventory: Inventory, causes: pa.Table | None = None
    ) -> Identity:
        """The identity of a run; causes: the table of that name of its tabulation."""
        constants: dict[str, Any] = {
            "run": run,
            "name": request.name,
            "inventory": inventory.id,
            "inventory_version": inventory.version,
            "inventory_checksum": inventory.checksum,
            "illustrative": inventory.illustrative,
            "matrix_sharing": request.matrix_sharing_used,
            "matrix_type": request.matrix.type,
            "path_correction": request.path_correction_used,
            "shrinkage": request.shrinkage_used if request.matrix_sharing_used == "per_stratum" else None,
        }
        if inventory.id.startswith("champs-") and not inventory.verified:
            constants["flags"] = ["inventory_not_verified"]
        if inventory.id.startswith("champs-") and causes is not None:
            constants["flags_of"] = _newer_list(causes)
        return cls(constants, request.columns.strata, request.quantiles)

    def conform(self, table: str, data: pa.Table | pd.DataFrame | Mapping[str, Any]) -> pa.Table:
        """The data as that table of this run, see `tasks.results.schema.conform`."""
        return conform(
            table,
            data,
            strata_columns=self.strata_columns,
            quantiles=self.quantiles,
            constants=self.constants,
        )


def _newer_list(causes: pa.Table) -> dict[tuple[str, str], list[str]]:
    """The flag of each age group and algorithm whose causes are of a newer list than the matrices'."""
    rows = zip(*(causes[name].to_pylist() for name in ("age_group", "algorithm", "label")), strict=True)
    newer = sorted({(age, algorithm) for age, algorithm, label in rows if only_in_who_2022(label, age)})
    return {(age, name): ["who_2022_causes"] for age, algorithm in newer for name in (algorithm, ENSEMBLE)}


def chunk_tables(chunk: Chunk, result: BatchResult, identity: Identity) -> dict[str, pa.Table]:
    """csmf, strata, records, matrices and, where R gave them, the compact draws of a chunk.

    Of the joint model joint_fits and misfit as well, of common matrix draws common_strata.
    """
    if chunk.batch.matrix_sharing != "per_stratum":
        result = without_too_few(chunk, result)
    fits = _fits(chunk, result)
    tables = {
        "csmf": _csmf(chunk, result, fits, identity),
        "strata": _strata(chunk, result, fits, identity),
        "records": _records(chunk, fits, identity),
        "matrices": _matrices(chunk, result, identity),
    }
    if result.draws is not None:
        tables["draws"] = _draws(chunk, result.draws, fits, identity)
    if chunk.joint:
        joint_fits = joint_fit_rows(chunk, result, identity.strata_columns)
        tables["joint_fits"] = identity.conform("joint_fits", joint_fits)
        tables["misfit"] = identity.conform("misfit", _identified(chunk, misfit_rows(chunk, result)))
    if result.common_strata is not None:
        drawn = _common_strata(chunk, result.common_strata, fits)
        tables["common_strata"] = identity.conform("common_strata", _identified(chunk, drawn))
    return tables


def _common_strata(chunk: Chunk, drawn: pa.Table, fits: pd.DataFrame) -> pd.DataFrame:
    """Rows of `common_strata`, of the fits with a result."""
    names = {"correlation": "inner_correlation", "impossible": "impossible_draws", "weight": "counts_weight"}
    rows: pd.DataFrame = drawn.to_pandas().rename(columns=names)
    rows = rows.merge(fits[["stratum", "algorithm", "status"]], on=["stratum", "algorithm"], how="left")
    rows = rows[rows["status"] == "calibrated"].drop(columns="status")
    return rows.assign(row=_row_of(chunk, rows))


def failed_tables(chunk: Chunk, reason: str, identity: Identity) -> dict[str, pa.Table]:
    """The same tables for a chunk that R never finished: raw fractions, the reason, no matrices, no draws."""
    import pandas as pd

    batch = chunk.batch
    names = [*batch.algorithms, *([ENSEMBLE] if batch.ensemble else [])]
    counts = np.concatenate([chunk.deaths, chunk.deaths.sum(axis=1, keepdims=True)], axis=1)[:, : len(names)]
    deaths = counts.sum(axis=2)
    keys = np.repeat(np.arange(len(batch.strata)), len(names))
    fits = pd.DataFrame({"row": keys, "stratum": np.array(batch.strata)[keys]})
    fits = fits.assign(algorithm=np.tile(names, len(batch.strata)), deaths=deaths.ravel())
    fits = fits.assign(status="failed", reason=reason, flags="")
    rows = fits.loc[fits.index.repeat(len(batch.causes)), ["row", "stratum", "algorithm", "flags"]]
    with np.errstate(invalid="ignore"):
        raw = (counts / deaths[:, :, None]).ravel()
    csmf = rows.assign(
        cause=np.tile(batch.causes, len(fits)), deaths=counts.ravel(), raw=raw, status="no_result"
    )
    return {
        "csmf": identity.conform("csmf", _identified(chunk, csmf.assign(level="stratum"))),
        "strata": identity.conform("strata", _received(chunk, fits)),
        "records": _records(chunk, fits, identity),
        "draws": _draws(chunk, np.empty((0, 1, len(batch.causes))), fits.iloc[:0], identity),
    }


def _fits(chunk: Chunk, result: BatchResult) -> pd.DataFrame:
    """R's fits, with `row` (index of the stratum in the chunk), flags and what was not fitted on purpose."""
    fits: pd.DataFrame = result.fits.to_pandas()
    fits["row"] = _row_of(chunk, fits)
    too_few = [
        algorithm != ENSEMBLE and bool(chunk.too_few[row, chunk.batch.algorithms.index(algorithm)])
        for row, algorithm in zip(fits["row"], fits["algorithm"], strict=True)
    ]
    fits.loc[too_few, "status"] = "not_fitted"
    fits.loc[too_few, "reason"] = TOO_FEW
    fits["deaths"] = _deaths(chunk, fits)
    fits["reason"], fits["borrowed"] = plain_reasons(fits)
    fits["misfit_of"] = misfit_of(chunk, result, fits)
    fits["divergent"] = fits["algorithm"].isin(divergent(result))
    if chunk.joint and not chunk.batch.path_correction:
        fits["lambda"] = None  # there was no search
    fits["provisional"] = [
        _provisional(chunk, row, fit) for row, fit in zip(fits["row"], fits["algorithm"], strict=True)
    ]
    fits["flags"] = [_flags(fit, chunk) for fit in fits.to_dict("records")]
    fits["algorithms_disagree"] = fits["algorithms_disagree"].eq(True)
    return fits


def _row_of(chunk: Chunk, frame: pd.DataFrame) -> pd.Series[int]:
    return frame["stratum"].map({key: i for i, key in enumerate(chunk.batch.strata)})


def _provisional(chunk: Chunk, row: int, fit: str) -> bool:
    """Whether a unit of the stratum is unknown to the fit's baseline, and so does not centre it."""
    common = chunk.batch.common
    if common is None:
        return False
    names = {f"{column}={value}" for column, value in zip(common.columns, common.units[row], strict=True)}
    own = [one for one in common.baselines if one.fit == fit and one.status == "drawn"]
    return any(names.difference(one.known) for one in own)


def _deaths(chunk: Chunk, fits: pd.DataFrame) -> list[int]:
    """Deaths of each fit, those of an algorithm that has too few included."""
    own = chunk.deaths.sum(axis=2)
    return [
        int(deaths) if algorithm == ENSEMBLE else int(own[row, chunk.batch.algorithms.index(algorithm)])
        for row, algorithm, deaths in zip(fits["row"], fits["algorithm"], fits["deaths"], strict=True)
    ]


def _flags(fit: Mapping[Hashable, Any], chunk: Chunk) -> list[str]:
    flags = [name for name in _FIT_FLAGS if fit[name] is True or fit[name] == 1]
    if fit["status"] == "not_calibrated":
        flags.append("not_calibrated")
    if fit["converged"] is False or fit["converged"] == 0:
        flags.append("not_converged")
    if chunk.served_by_other:
        flags.append("country_served_by_other")
    if isinstance(fit["misfit_of"], str):
        flags.append("misfit")
    if fit["divergent"]:
        flags.append("divergences")
    if fit["borrowed"]:
        flags.append(BORROWED)
    if fit["provisional"] and fit["status"] == "calibrated":
        flags.append("centre_provisional")
    return flags


def _csmf(chunk: Chunk, result: BatchResult, fits: pd.DataFrame, identity: Identity) -> pa.Table:
    csmf = result.estimates.to_pandas()
    for index, quantile in enumerate(chunk.batch.quantiles):
        csmf[quantile_name(quantile)] = result.quantiles[:, index]
    csmf = csmf.merge(fits[["stratum", "algorithm", "row", "flags"]], on=["stratum", "algorithm"], how="left")
    csmf["flags"] = [
        [*flags, "algorithms_disagree"] if disagrees is True else flags
        for flags, disagrees in zip(csmf["flags"], csmf["disagrees"], strict=True)
    ]
    csmf = _with_too_few(chunk, csmf).drop(columns=["disagrees"])
    return identity.conform("csmf", _identified(chunk, csmf.assign(level="stratum")))


def _with_too_few(chunk: Chunk, csmf: pd.DataFrame) -> pd.DataFrame:
    """R never saw the deaths of an algorithm with too few of them; the table shows them all the same."""
    for row, algorithm in np.argwhere(chunk.too_few):
        rows = (csmf["row"] == row) & (csmf["algorithm"] == chunk.batch.algorithms[algorithm])
        counts = chunk.deaths[row, algorithm]
        csmf.loc[rows, "deaths"] = counts
        csmf.loc[rows, "raw"] = counts / counts.sum()
    return csmf


def _strata(chunk: Chunk, result: BatchResult, fits: pd.DataFrame, identity: Identity) -> pa.Table:
    strata = fits.drop(columns=[name for name in _NOT_IN_TABLE if name in fits])
    disagree = zip(fits["flags"], fits["algorithms_disagree"], strict=True)
    strata["flags"] = [[*flags, "algorithms_disagree"] if yes else flags for flags, yes in disagree]
    strata["unreliable_because"] = fits["unreliable_because"].replace("", None)
    strata["causes_not_calibrated"] = _left_out(result, fits)
    strata["matrix_country"] = [_matrix_country(chunk, algorithm) for algorithm in fits["algorithm"]]
    return identity.conform("strata", _received(chunk, strata))


def _left_out(result: BatchResult, fits: pd.DataFrame) -> list[str | None]:
    """For each fit the causes passed through, as in "other (asked_for); pneumonia (learned)"."""
    found: dict[tuple[str, str], list[str]] = {}
    columns = ("stratum", "algorithm", "cause", "status", "not_calibrated_reason")
    values = (result.estimates[name].to_pylist() for name in columns)
    for stratum, algorithm, cause, status, reason in zip(*values, strict=True):
        if status == "passed_through":
            found.setdefault((stratum, algorithm), []).append(f"{cause} ({reason})" if reason else cause)
    keys = zip(fits["stratum"], fits["algorithm"], strict=True)
    return ["; ".join(found[key]) if key in found else None for key in keys]


def _matrix_country(chunk: Chunk, algorithm: str) -> str:
    if algorithm == ENSEMBLE:
        return ", ".join(dict.fromkeys(chunk.matrix_countries))
    return chunk.matrix_countries[chunk.batch.algorithms.index(algorithm)]


def _received(chunk: Chunk, frame: pd.DataFrame) -> pa.Table:
    deaths = chunk.strata["deaths"].to_numpy()[frame["row"].to_numpy()]
    return _identified(chunk, frame.assign(deaths_received=deaths))


def _identified(chunk: Chunk, frame: pd.DataFrame) -> pa.Table:
    """The frame with the identity columns of its strata in place of `row`, their index in the chunk."""
    own = chunk.strata.drop_columns(["deaths"]).take(pa.array(frame["row"].to_numpy(), pa.int64()))
    table = pa.Table.from_pandas(
        frame.drop(columns=["row", "stratum"], errors="ignore"), preserve_index=False
    )
    for name in own.column_names:
        table = table.append_column(name, own[name])
    return table


def _records(chunk: Chunk, fits: pd.DataFrame, identity: Identity) -> pa.Table:
    """The chunk's records; used ones of an algorithm that was not fitted in a stratum become not_fitted."""
    records = chunk.records.to_pandas().merge(
        fits[["stratum", "algorithm", "status", "reason"]].rename(columns={"reason": "fit_reason"}),
        on=["stratum", "algorithm"],
        how="left",
    )
    lost = records["disposition"].eq("used") & records["status"].isin(NOT_FITTED)
    failed = lost & records["status"].eq("failed")
    records.loc[lost, "disposition"] = "not_fitted"
    records.loc[lost, "reason"] = TOO_FEW
    records.loc[failed, "reason"] = "failed"
    records["row"] = _row_of(chunk, records)
    return identity.conform("records", _identified(chunk, records.drop(columns=["status", "fit_reason"])))


def with_places(tabulation: Tabulation) -> pa.Table:
    """The records of a tabulation with age group, country and strata columns."""
    return tabulation.records.join(tabulation.strata.drop_columns(["deaths"]), "stratum", join_type="inner")


def unplaced_records(records: pa.Table, strata: pa.Table, identity: Identity) -> pa.Table:
    """Records of strata that are in no chunk: their age group or country is unknown, all are rejected."""
    frame = records.to_pandas().merge(strata.to_pandas().drop(columns=["deaths"]), on="stratum", how="left")
    return identity.conform("records", frame)


def _matrices(chunk: Chunk, result: BatchResult, identity: Identity) -> pa.Table:
    """The matrices published for the chunk's age group and country, then each stratum's as used."""
    algorithms, causes = chunk.batch.algorithms, chunk.batch.causes
    used = _cells(result.matrices_used, algorithms, causes)
    used = used[used["value"].notna()].assign(kind="used")
    published = _cells(result.matrices_published[None], algorithms, causes).assign(kind="published")
    place = chunk.strata.slice(0, 1).to_pylist()[0]
    whole = dict.fromkeys(identity.strata_columns, ALL)
    key = f"age_group={place['age_group']}/country={place['country']}"
    of_all = {"stratum": key, "age_group": place["age_group"], "country": place["country"], **whole}
    first = pa.Table.from_pandas(published.drop(columns="row").assign(**of_all), preserve_index=False)
    parts = (first, _identified(chunk, used))
    return pa.concat_tables([identity.conform("matrices", part) for part in parts])


def published_once(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Tables `matrices` of chunks, the matrices published for an age group and country in its first one only.

    Every chunk brings them, so that they are there whichever chunks were lost.
    """
    seen: set[str] = set()
    for part in parts:
        published = pc.equal(part["kind"], "published")
        keys = set(part["stratum"].filter(published).unique().to_pylist())
        yield part.filter(pc.invert(published)) if keys and keys <= seen else part
        seen |= keys


def _cells(matrices: Floats, algorithms: Sequence[str], causes: Sequence[str]) -> pd.DataFrame:
    """A row for each cell of [S, K, C, C] matrices."""
    import pandas as pd

    row, algorithm, true, said = (axis.ravel() for axis in np.indices(matrices.shape))
    names, labels = np.array(algorithms), np.array(causes)
    return pd.DataFrame(
        {
            "row": row,
            "algorithm": names[algorithm],
            "champs_cause": labels[true],
            "va_cause": labels[said],
            "value": matrices.ravel(),
        }
    )


def _draws(chunk: Chunk, draws: Floats, fits: pd.DataFrame, identity: Identity) -> pa.Table:
    """One row for each fit with draws and cause, its draws as a list."""
    there = ~np.isnan(draws[:, 0, 0])
    count, length, causes = draws[there].shape
    values = np.ascontiguousarray(draws[there].transpose(0, 2, 1)).ravel()
    offsets = np.arange(count * causes + 1, dtype=np.int32) * length
    rows = fits.loc[there, ["row", "algorithm", "flags"]]
    rows = rows.loc[rows.index.repeat(causes)].assign(cause=np.tile(chunk.batch.causes, count))
    table = _identified(chunk, rows)
    return identity.conform(
        "draws", table.append_column("values", pa.ListArray.from_arrays(pa.array(offsets), pa.array(values)))
    )
