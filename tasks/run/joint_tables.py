"""From what R computed of a joint fit to tables: those that only it has, and what its results mean."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.engine import BatchResult
from tasks.results import ALL, DIVERGENT, ENSEMBLE, Named, named_to_json, texts_to_json
from tasks.run.chunks import Chunk

if TYPE_CHECKING:
    import pandas as pd

BORROWED = "borrowed_from_other_strata"
_R_BORROWED = "no_deaths_borrowed_from_other_strata"
_OF_AN_ESTIMATE = ("mean", "sd", "not_calibrated_reason", "calibrated_deaths", "ensemble_deaths")


def without_too_few(chunk: Chunk, result: BatchResult) -> BatchResult:
    """The result with none where an algorithm has fewer deaths than the minimum: R saw none and borrowed.

    An ensemble has none where that holds for every algorithm with deaths.
    """
    import pandas as pd

    too_few = pd.DataFrame(chunk.too_few, index=chunk.batch.strata, columns=chunk.batch.algorithms)
    too_few[ENSEMBLE] = chunk.too_few.any(axis=1) & (chunk.batch.counts.sum(axis=(1, 2)) == 0)
    if not too_few.to_numpy().any():
        return result
    fits, estimates = result.fits.to_pandas(), result.estimates.to_pandas()
    no_fit, no_estimate = _where(too_few, fits), _where(too_few, estimates)
    fits.loc[no_fit, "status"], fits.loc[no_fit, "reason"] = "no_result", "no_deaths"
    estimates.loc[no_estimate, list(_OF_AN_ESTIMATE)] = None
    estimates.loc[no_estimate, "status"] = "no_result"
    draws = result.draws
    if draws is not None:
        draws = np.where(no_fit[:, None, None], np.nan, draws)
    return replace(
        result,
        fits=pa.Table.from_pandas(fits, preserve_index=False),
        estimates=pa.Table.from_pandas(estimates, preserve_index=False),
        quantiles=np.where(no_estimate[:, None], np.nan, result.quantiles),
        draws=draws,
    )


def _where(too_few: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of the rows, each with stratum and algorithm, `too_few` is true of."""
    at = too_few.index.get_indexer(rows["stratum"]), too_few.columns.get_indexer(rows["algorithm"])
    return np.asarray(too_few.to_numpy()[at], dtype=np.bool_)


def plain_reasons(fits: pd.DataFrame) -> tuple[pd.Series[str], pd.Series[bool]]:
    """R's reasons as the tables name them, and where an estimate is borrowed: that is a flag, no reason."""
    reasons, borrowed = fits["reason"].copy(), fits["reason"].eq(_R_BORROWED)
    reasons[borrowed] = None
    return reasons, borrowed


def divergent(result: BatchResult) -> set[str]:
    """Algorithms (or the ensemble) of whose joint fit more transitions diverged than DIVERGENT."""
    fits = result.joint_fits.to_pylist() if result.joint_fits is not None else []
    return {fit["algorithm"] for fit in fits if fit["divergences"] > DIVERGENT * fit["transitions"]}


def misfit_of(chunk: Chunk, result: BatchResult, fits: pd.DataFrame) -> list[str | None]:
    """For each fit the algorithms whose deaths do not fit, with their causes, as JSON."""
    found: dict[tuple[str, str], list[Named]] = {}
    if result.misfit is not None:
        for row in result.misfit.filter(result.misfit["misfit"]).to_pylist():
            named = Named(row["algorithm"], _causes(chunk, row["cause_numbers"]))
            found.setdefault((row["stratum"], row["fit"]), []).append(named)
    keys = zip(fits["stratum"], fits["algorithm"], strict=True)
    return [named_to_json(found[key]) if key in found else None for key in keys]


def _causes(chunk: Chunk, numbers: str | None) -> tuple[str, ...]:
    """The causes of these numbers, counted from 1 and joined by commas as R gives them."""
    return tuple(chunk.batch.causes[int(number) - 1] for number in numbers.split(",")) if numbers else ()


def misfit_rows(chunk: Chunk, result: BatchResult) -> pd.DataFrame:
    """Rows of `misfit`, by the index of the stratum in the chunk."""
    assert result.misfit is not None
    rows: pd.DataFrame = result.misfit.to_pandas().rename(columns={"algorithm": "member", "fit": "algorithm"})
    index = {key: i for i, key in enumerate(chunk.batch.strata)}
    numbers = result.misfit["cause_numbers"].to_pylist()
    causes = [None if those is None else texts_to_json(_causes(chunk, those)) for those in numbers]
    rows = rows.assign(row=rows["stratum"].map(index), causes=causes)
    return rows.drop(columns="cause_numbers")


def joint_fit_rows(chunk: Chunk, result: BatchResult, strata_columns: tuple[str, ...]) -> pd.DataFrame:
    """Rows of `joint_fits`, with the identity columns of the whole that was fitted.

    A strata column has its value where all strata of the fit have the same one, else `(all)`.
    """
    assert result.joint_fits is not None
    places = chunk.strata.to_pandas()
    common = {
        name: places[name].iloc[0] if places[name].nunique() == 1 else ALL
        for name in ("age_group", "country", *strata_columns)
    }
    parts = zip(common, chunk.batch.strata[0].split("/"), strict=True)
    key = "/".join(part for name, part in parts if common[name] != ALL)
    rows: pd.DataFrame = result.joint_fits.to_pandas().assign(
        stratum=key, strata=len(chunk.batch.strata), **common
    )
    if result.misfit is not None:
        odd = result.misfit.filter(result.misfit["misfit"]).to_pandas()
        strata = odd.groupby("fit")["stratum"].nunique()
        rows["strata_misfit"] = rows["algorithm"].map(strata).fillna(0).astype(int)
    return rows
