"""The border to R: a batch of plain arrays in, plain arrays out. The only module that knows rpy2.

`calibrate_batch` is called by tasks; it runs `_calibrate` in an expendable process (`tasks.engine.process`) that
holds R and the R package vacal. Counts, matrices and options cross the border, never a death record.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.engine.process import LAST_LINES, Pool, Send, TimedOutError, own_pool
from tasks.errors import EngineError, InputError
from tasks.settings import settings

JOINT_CHAINS = 4
"""Chains of a joint fit."""

MORE_TIME = (
    "; a joint fit is not tried again, as it would take as long: give it more time (VACAL_R_TIMEOUT), fewer "
    "effective_draws, or fewer strata a fit (joint_groups)"
)

Floats = NDArray[np.float64]
OnProgress = Callable[[int, str, int, int], None]
"""Called with stratum (0-based index in the batch), algorithm, fits done, fits in all."""


@dataclass(frozen=True)
class Baseline:
    """What common matrix draws of one fit (an algorithm's or the ensemble's) rest on: `?vacal::make_baseline`.

    D draws, K algorithms of the fit, B causes that it calibrates, U units, L large strata. Where `status` is not
    `drawn` there is nothing but its reason.
    """

    fit: str
    status: str
    reason: str
    engine_version: str
    algorithms: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    calibrated: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), dtype=bool))
    """[K, B] the block of causes in which each algorithm's matrix holds; the identity elsewhere."""
    matrices: Floats = field(default_factory=lambda: np.empty(0))
    """[D, K, B, B]"""
    country: Floats = field(default_factory=lambda: np.empty(0))
    """[D, B] fractions of all strata together."""
    units: tuple[str, ...] = ()
    """Names such as `province=Gaza`, large to small: those that count."""
    known: tuple[str, ...] = ()
    """All, also those that hold one stratum with deaths, all of them, or the same as another."""
    inside: tuple[tuple[str, ...], ...] = ()
    """For each unit the names of the units that hold it."""
    unit_p: Floats = field(default_factory=lambda: np.empty(0))
    """[U, D, B] fractions."""
    unit_r: Floats = field(default_factory=lambda: np.empty(0))
    """[U, D, B] centres of their priors."""
    country_counts: Floats = field(default_factory=lambda: np.empty(0))
    """[K, B]"""
    unit_counts: Floats = field(default_factory=lambda: np.empty(0))
    """[U, K, B]"""
    large: tuple[str, ...] = ()
    """Strata with more than a fifth of the deaths of the country or a unit."""
    large_counts: Floats = field(default_factory=lambda: np.empty(0))
    """[L, K, B]"""
    whole: tuple[str, ...] = ()
    """The only stratum with deaths: it is the country; else none."""
    pooled: Floats = field(default_factory=lambda: np.empty(0))
    """Deaths of all causes of the counts, algorithms of the fit together."""
    common_share: float = 0.0
    concentration: float = 1.0
    source: str = ""
    rhat: float = float("nan")
    ess_bulk: float = float("nan")
    ess_tail: float = float("nan")
    divergences: int = 0
    converged: bool = True


@dataclass(frozen=True)
class Common:
    """What a batch has of common matrix draws beside counts and matrices."""

    columns: tuple[str, ...]
    """Strata columns each of whose values is a unit that centres its strata."""
    units: tuple[tuple[str, ...], ...]
    """For each stratum its values of these columns."""
    place: str
    """Age group and country, as in the first two parts of the strata's keys."""
    borrow: bool = False
    """Strata without deaths are drawn from their prior."""
    concentration: float | None = None
    """Pseudo-deaths of a prior per cause; None: as the baseline has learned."""
    baselines: tuple[Baseline, ...] = ()
    """One for each algorithm and the ensemble; not needed to make them."""


@dataclass(frozen=True)
class Batch:
    """Strata of one age group and one country, which share their matrices and one list of causes.

    S strata, K algorithms, C causes of the counts, C0 broad causes; rows of a matrix are true causes.
    """

    strata: tuple[str, ...]
    algorithms: tuple[str, ...]
    causes: tuple[str, ...]
    counts: NDArray[np.int64]
    """[S, K, C] deaths by VA cause, 0 where an algorithm has none."""
    broad_causes: tuple[str, ...]
    """The C0 causes of the matrices."""
    matrices: tuple[Floats, ...]
    """For each algorithm [C0, C0] (Dirichlet alphas, or fixed rates) or [samples, C0, C0]."""
    matrix_type: Literal["prior", "fixed", "samples"]
    study_causes: tuple[str, ...] | None
    """The broad cause of each of `causes`; None where the counts are in broad causes."""
    do_not_calibrate: tuple[tuple[str, ...], ...]
    """For each algorithm the causes that keep their observed fraction."""
    rule: Literal["learn", "fixed"] = "learn"
    threshold: float = 0.1
    path_correction: bool = True
    shrinkage: float = 0.0
    ensemble: bool = True
    draws: int = 4000
    effective_draws: int = 4000
    seed: int = 1
    quantiles: tuple[float, ...] = (0.025, 0.975)
    keep_draws: bool = False
    engine: Literal["vacal", "vacalibration"] = "vacal"
    """This project's engine, or the published R package (which is slow, and must be installed)."""
    matrix_sharing: Literal["per_stratum", "joint", "common"] = "per_stratum"
    """Each stratum on its own; all in one fit for each algorithm and the ensemble; or by common matrix draws."""
    budget: float | None = None
    """Joint model: evaluations of the density that a fit may take; None: as many as R's own default."""
    common: Common | None = None
    """Common matrix draws: what strata are centred on."""


@dataclass(frozen=True)
class BatchResult:
    """What R computed for a batch; rows of `estimates` and `fits` are in the order in which R gave them.

    The columns are those of the R function (`?vacal::calibrate_batch`, `?vacal::calibrate_joint`), but for
    `stratum`, which is the key.
    """

    estimates: pa.Table
    quantiles: Floats
    """[rows of estimates, quantiles]; NaN where a cause is passed through."""
    fits: pa.Table
    matrices_used: Floats
    """[S, K, C, C] mean of the matrix as used, on the calibrated causes; else the identity; NaN if unused."""
    matrices_published: Floats
    """[K, C, C] row-normalised mean over all causes, after expansion to study causes."""
    calibrated_causes: NDArray[np.bool_]
    """[K, C]"""
    draws: Floats | None
    """[rows of fits, draws, C] or None."""
    engine_version: str
    """Of the R package vacal that computed it, on the machine where it did."""
    joint_fits: pa.Table | None = None
    """Joint model: a row for each fit."""
    misfit: pa.Table | None = None
    """Joint model: a row for each fit, stratum and algorithm with deaths."""
    common_strata: pa.Table | None = None
    """Common matrix draws: a row for each stratum and fit that was drawn."""


def calibrate_batch(
    batch: Batch,
    *,
    log: logging.Logger | logging.LoggerAdapter[Any],
    progress: OnProgress | None = None,
    timeout: float | None = None,
    pool: Pool | None = None,
) -> BatchResult:
    """Calibrate a batch of strata in an R process of its own.

    R's output goes to `log` line by line: warnings as warnings, all else as info. `timeout` is in seconds.

    Raises InputError if R refuses the input, ProcessLostError if the R process died, TimedOutError if it ran
    out of time (another try may succeed), and EngineError with R's last lines for any other error of R.
    """
    result: BatchResult = _in_r("_calibrate", batch, batch, log, progress, timeout, pool)
    return result


def make_baseline(
    batch: Batch,
    fit: str,
    *,
    log: logging.Logger | logging.LoggerAdapter[Any],
    timeout: float | None = None,
    pool: Pool | None = None,
) -> Baseline:
    """The baseline of one fit of common matrix draws, from the deaths of all strata of a country and age group.

    Raises what `calibrate_batch` raises.
    """
    made: Baseline = _in_r("_make_baseline", batch, (batch, fit), log, None, timeout, pool)
    return made


def _in_r(
    function: str,
    batch: Batch,
    content: object,
    log: logging.Logger | logging.LoggerAdapter[Any],
    progress: OnProgress | None,
    timeout: float | None,
    pool: Pool | None,
) -> Any:
    """A function of this module, called in an R process; what it sends goes to log and progress."""
    last: list[str] = []

    def on_message(kind: str, content: Any) -> None:
        if kind == "log":
            level, line = content
            last.append(line)
            del last[:-LAST_LINES]
            log.log(level, "%s", line)
        elif kind == "progress" and progress is not None:
            progress(*content)

    try:
        return (pool or own_pool()).call(
            f"{__name__}:{function}",
            content,
            on_message=on_message,
            timeout=timeout or settings().r_timeout,
            env=r_environment(settings().r_library),
        )
    except EngineError as error:
        timed_out = batch.matrix_sharing == "joint" and isinstance(error, TimedOutError)
        told = f"{error}{MORE_TIME if timed_out else ''}"
        raise type(error)("\n".join([told, *(["R's last lines:", *last] if last else ())])) from error


_early: list[Pool] = []


def start_early() -> None:
    """Start an R process beside what else has to be done before the first chunk; `open_pool` takes it."""
    pool = Pool()
    pool.warm_up(f"{__name__}:_load", r_environment(settings().r_library))
    atexit.register(pool.close)
    _early.append(pool)


def open_pool() -> Pool:
    """A pool of R processes, with the one that was started early if there is one."""
    return _early.pop() if _early else Pool()


def threads(batch: Batch, cores: int) -> int:
    """Threads that R computes a batch on: the four chains of a joint fit side by side, all else on one."""
    return min(JOINT_CHAINS, cores) if batch.matrix_sharing == "joint" else 1


def engine_versions() -> dict[str, str]:
    """Versions of the R package vacal (`engine`) and of R, as the package was built. Raises EngineError."""
    try:
        text = (settings().r_library / "vacal" / "DESCRIPTION").read_text(encoding="utf-8")
    except OSError:
        raise EngineError("the R package vacal is not installed: run script/bootstrap") from None
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    return {"engine": fields["Version"], "r": fields["Built"].split(";")[0].removeprefix("R ")}


def r_environment(library: Path) -> dict[str, str]:
    """Variables that R must find when it starts: our library first, one thread, English messages, UTF-8."""
    others = os.environ.get("R_LIBS")
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        "R_LIBS": os.pathsep.join([str(library), *([others] if others else [])]),
        "LANGUAGE": "en",
        "LC_ALL": "C.UTF-8",
        **dict.fromkeys(threads, "1"),
    }


# From here on: what runs in the R process.

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING}


@dataclass
class _Lines:
    """A console of R: what is written to it arrives in pieces and leaves in whole lines."""

    send: Send
    level: int
    rest: str = field(default="")

    def write(self, text: str) -> None:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            if line.strip():
                self.send("log", (self.level, line.rstrip()))

    def flush(self) -> None:
        self.write("\n")


@cache
def _r() -> Any:
    """Start R, once in a process; returns rpy2's low-level interface."""
    from rpy2 import rinterface
    from rpy2.rinterface_lib import embedded

    embedded.set_initoptions(("rpy2", "--quiet", "--vanilla"))
    rinterface.initr()
    return rinterface


def _load(_nothing: None, _send: Send) -> None:
    """Start R and load the R package vacal."""
    r = _r()
    r.baseenv["loadNamespace"](_text(r, ["vacal"]))


def _calibrate(batch: Batch, send: Send) -> BatchResult:
    """The R function that calibrates such a batch, in this process."""
    value, version = _answer(batch, send, _arguments(_r(), batch))
    return _result(batch, value, version)


def _make_baseline(content: tuple[Batch, str], send: Send) -> Baseline:
    """`vacal::make_baseline` for one fit of a batch, in this process."""
    batch, fit = content
    r = _r()
    assert batch.common is not None
    not_wanted = ("threads", "baseline", "borrow", "concentration")
    arguments = {name: value for name, value in _arguments(r, batch).items() if name not in not_wanted}
    arguments |= {"fits": _text(r, [fit]), "place": _text(r, [batch.common.place])}
    value, version = _answer(batch, send, arguments)
    return _baseline(fit, _named(value[fit]), version)


def _answer(batch: Batch, send: Send, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What R answers, and the version of its package. Raises InputError, EngineError."""
    r = _r()
    from rpy2.rinterface_lib import callbacks

    consoles = _Lines(send, logging.INFO), _Lines(send, logging.WARNING)
    callbacks.consolewrite_print, callbacks.consolewrite_warnerror = (c.write for c in consoles)

    nothing = r.BoolSexpVector([True])  # a function that R calls must return a vector; R's NULL is none

    @r.rternalize(signature=False)  # type: ignore[untyped-decorator]
    def log(level: Any, text: Any) -> Any:
        for line in text[0].rstrip("\n").split("\n"):
            send("log", (_LEVELS[level[0]], line))
        return nothing

    @r.rternalize(signature=False)  # type: ignore[untyped-decorator]
    def progress(stratum: Any, algorithm: Any, done: Any, total: Any, line: Any = None) -> Any:
        if line is not None and line[0] is not r.NA_Character:  # of a joint fit that is not done yet
            send("log", (logging.INFO, line[0]))
            return nothing
        joint = batch.matrix_sharing == "joint"  # R gives no stratum: the fit is done for all of them
        index = len(batch.strata) if joint else int(stratum[0])
        if index > 0:  # a baseline has no strata to tell of
            send("progress", (index - 1, algorithm[0], int(done[0]), int(total[0])))
        return nothing

    calibrate = r.baseenv["getExportedValue"](_text(r, ["vacal"]), _text(r, ["calibrate_batch_for_caller"]))
    answer = _named(calibrate(log, **arguments, progress=progress))
    for console in consoles:
        console.flush()
    if "value" not in answer:
        raise _r_error(answer)
    version = str(r.baseenv["getNamespaceVersion"](_text(r, ["vacal"]))[0])
    return _named(answer["value"]), version


def _r_error(answer: Mapping[str, Any]) -> InputError | EngineError:
    if problems := list(answer["problems"]):
        return InputError(problems)
    message, call = str(answer["error"][0]).strip(), str(answer["call"][0])
    return EngineError(f"R stopped{f' in {call}()' if call else ''}: {message or '(no message)'}")


def _arguments(r: Any, batch: Batch) -> dict[str, Any]:
    """The arguments of the R function that calibrates such a batch, as R objects."""
    square = (batch.broad_causes, batch.broad_causes)
    matrices = [_array(r, m, *([None] * (m.ndim - 2)), *square) for m in batch.matrices]
    study = r.NULL if batch.study_causes is None else _text(r, batch.study_causes, batch.causes)
    further: dict[str, Any] = {}
    if batch.budget is not None:
        further["budget"] = r.FloatSexpVector([batch.budget])
    if batch.common is None:
        further["effective_draws"] = r.FloatSexpVector([batch.effective_draws])
    else:
        further |= _common_arguments(r, batch.common)
    return {
        "counts": _array(r, batch.counts, batch.strata, batch.algorithms, batch.causes),
        "matrices": _list(r, matrices, batch.algorithms),
        "matrix_type": _text(r, [batch.matrix_type]),
        "study_causes": study,
        "do_not_calibrate": _list(r, [_text(r, c) for c in batch.do_not_calibrate], batch.algorithms),
        "rule": _text(r, [batch.rule]),
        "threshold": r.FloatSexpVector([batch.threshold]),
        "path_correction": r.BoolSexpVector([batch.path_correction]),
        "shrinkage": r.FloatSexpVector([batch.shrinkage]),
        "ensemble": r.BoolSexpVector([batch.ensemble]),
        "draws": r.IntSexpVector([batch.draws]),
        "seed": r.FloatSexpVector([batch.seed]),
        "quantiles": r.FloatSexpVector(batch.quantiles),
        "keep_draws": r.BoolSexpVector([batch.keep_draws]),
        "engine": _text(r, [batch.engine]),
        "matrix_sharing": _text(r, [batch.matrix_sharing]),
        "threads": r.IntSexpVector([threads(batch, settings().workers)]),
        **further,
    }


def _common_arguments(r: Any, common: Common) -> dict[str, Any]:
    units = r.NULL
    if common.columns:
        units = r.StrSexpVector([values[at] for at in range(len(common.columns)) for values in common.units])
        units.do_slot_assign("dim", r.IntSexpVector((len(common.units), len(common.columns))))
        units.do_slot_assign("dimnames", r.ListSexpVector([r.NULL, _text(r, common.columns)]))
    multiple = r.NULL if common.concentration is None else r.FloatSexpVector([common.concentration])
    baselines = [_r_baseline(r, baseline) for baseline in common.baselines]
    return {
        "units": units,
        "baseline": _list(r, baselines, [baseline.fit for baseline in common.baselines]),
        "borrow": r.BoolSexpVector([common.borrow]),
        "concentration": multiple,
    }


_BASELINE_ARRAYS = (
    "matrices", "country", "unit_p", "unit_r", "country_counts", "unit_counts", "large_counts", "pooled"
)  # fmt: skip
_BASELINE_TEXTS = ("algorithms", "causes", "known", "units", "large", "whole")
_BASELINE_NUMBERS = ("common_share", "concentration", "rhat", "ess_bulk", "ess_tail")


def _r_baseline(r: Any, baseline: Baseline) -> Any:
    """A baseline as `vacal::make_baseline` returned it."""
    values: dict[str, Any] = {name: _text(r, [getattr(baseline, name)]) for name in ("status", "reason")}
    if baseline.status == "drawn":
        values |= {name: _text(r, getattr(baseline, name)) for name in _BASELINE_TEXTS}
        values |= {name: _plain_array(r, getattr(baseline, name)) for name in _BASELINE_ARRAYS}
        values |= {name: r.FloatSexpVector([getattr(baseline, name)]) for name in _BASELINE_NUMBERS}
        calibrated = r.BoolSexpVector(baseline.calibrated.ravel(order="F").tolist())
        calibrated.do_slot_assign("dim", r.IntSexpVector(baseline.calibrated.shape))
        values["calibrated"] = calibrated
        values["inside"] = _list(r, [_text(r, names) for names in baseline.inside], baseline.units)
        values["source"] = _text(r, [baseline.source])
        values["divergences"] = r.IntSexpVector([baseline.divergences])
        values["converged"] = r.BoolSexpVector([baseline.converged])
    return _list(r, list(values.values()), list(values))


def _baseline(fit: str, value: Mapping[str, Any], engine_version: str) -> Baseline:
    """What `vacal::make_baseline` returned for a fit."""
    first: dict[str, Any] = {name: str(value[name][0]) for name in ("status", "reason")}
    if first["status"] != "drawn":
        return Baseline(fit, engine_version=engine_version, **first)
    values: dict[str, Any] = {name: tuple(map(str, value[name])) for name in _BASELINE_TEXTS}
    values |= {name: _numbers(value[name]) for name in _BASELINE_ARRAYS if name != "pooled"}
    values |= {name: float(value[name][0]) for name in _BASELINE_NUMBERS}
    return Baseline(
        fit,
        engine_version=engine_version,
        pooled=np.array(list(value["pooled"]), dtype=np.float64),
        calibrated=_numbers(value["calibrated"]) == 1,
        inside=tuple(tuple(map(str, names)) for names in value["inside"]),
        source=str(value["source"][0]),
        divergences=int(value["divergences"][0]),
        converged=bool(value["converged"][0]),
        **first,
        **values,
    )


def _plain_array(r: Any, values: NDArray[Any]) -> Any:
    """An array without names; it may be empty."""
    flat = np.ascontiguousarray(values.ravel(order="F"), dtype=np.float64)
    vector = r.FloatSexpVector.from_memoryview(flat.data) if flat.size else r.FloatSexpVector([])
    vector.do_slot_assign("dim", r.IntSexpVector(values.shape))
    return vector


def _text(r: Any, values: Any, names: Any = None) -> Any:
    vector = r.StrSexpVector(list(values))
    if names is not None:
        vector.do_slot_assign("names", r.StrSexpVector(list(names)))
    return vector


def _list(r: Any, values: Any, names: Any) -> Any:
    vector = r.ListSexpVector(list(values))
    vector.do_slot_assign("names", r.StrSexpVector(list(names)))
    return vector


def _array(r: Any, values: NDArray[Any], *dimnames: tuple[str, ...] | None) -> Any:
    flat = np.ascontiguousarray(values.ravel(order="F"), dtype=np.float64)
    vector = r.FloatSexpVector.from_memoryview(flat.data)
    vector.do_slot_assign("dim", r.IntSexpVector(values.shape))
    names = [r.NULL if n is None else _text(r, n) for n in dimnames]
    vector.do_slot_assign("dimnames", r.ListSexpVector(names))
    return vector


def _named(r_list: Any) -> dict[str, Any]:
    return dict(zip(r_list.do_slot("names"), r_list, strict=True))


def _result(batch: Batch, value: Mapping[str, Any], engine_version: str) -> BatchResult:
    missing = {
        "estimates",
        "quantiles",
        "fits",
        "matrices_used",
        "matrices_published",
        "calibrated_causes",
    } - set(value)
    if missing:
        raise EngineError(
            f"the R package vacal gave no {', '.join(sorted(missing))}: install it anew (script/bootstrap)"
        )
    return BatchResult(
        estimates=_table(batch, value["estimates"]),
        quantiles=_numbers(value["quantiles"]),
        fits=_table(batch, value["fits"]),
        matrices_used=_numbers(value["matrices_used"]),
        matrices_published=_numbers(value["matrices_published"]),
        calibrated_causes=_numbers(value["calibrated_causes"]) == 1,
        draws=_numbers(value["draws"]) if batch.keep_draws else None,
        engine_version=engine_version,
        joint_fits=_frame(value["joint_fits"]) if "joint_fits" in value else None,
        misfit=_table(batch, value["misfit"]) if "misfit" in value else None,
        common_strata=_table(batch, value["common_strata"]) if "common_strata" in value else None,
    )


def _numbers(vector: Any) -> NDArray[Any]:
    """An R array as a numpy array of its shape, in C order."""
    shape = tuple(vector.do_slot("dim"))
    if not len(vector):  # an empty one has no view
        return np.empty(shape)
    return np.array(vector.memoryview()).reshape(shape, order="F").copy(order="C")


def _table(batch: Batch, frame: Any) -> pa.Table:
    """An R data frame as a table, its stratum numbers replaced by the strata's keys."""
    table = _frame(frame)
    index = table["stratum"].to_numpy().astype(int) - 1
    keys = pa.array([batch.strata[i] for i in index], pa.string())
    return table.set_column(table.column_names.index("stratum"), "stratum", keys)


def _frame(frame: Any) -> pa.Table:
    """An R data frame as a table."""
    return pa.table({name: _column(vector) for name, vector in _named(frame).items()})


def _column(vector: Any) -> pa.Array[Any]:
    from rpy2 import rinterface

    if isinstance(vector, rinterface.StrSexpVector):
        return pa.array([None if v is rinterface.NA_Character else str(v) for v in vector], pa.string())
    values = np.array(vector.memoryview() if len(vector) else [])  # an empty one has no view
    if isinstance(vector, rinterface.FloatSexpVector):
        return pa.array(values, pa.float64(), mask=np.isnan(values))
    missing = values == np.iinfo(np.int32).min  # R's NA of whole numbers and of truth values
    kind = pa.bool_() if isinstance(vector, rinterface.BoolSexpVector) else pa.int64()
    return pa.array(values.astype(bool if kind == pa.bool_() else np.int64), kind, mask=missing)
