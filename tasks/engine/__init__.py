"""The only door to R: a batch goes to an expendable process that holds R, its results come back."""

from tasks.engine.border import (
    Baseline,
    Batch,
    BatchResult,
    Common,
    Floats,
    OnProgress,
    calibrate_batch,
    engine_versions,
    make_baseline,
    open_pool,
    start_early,
    threads,
)
from tasks.engine.process import Pool, ProcessLostError, TimedOutError

__all__ = [
    "Baseline",
    "Batch",
    "BatchResult",
    "Common",
    "Floats",
    "OnProgress",
    "Pool",
    "ProcessLostError",
    "TimedOutError",
    "calibrate_batch",
    "engine_versions",
    "make_baseline",
    "open_pool",
    "start_early",
    "threads",
]
