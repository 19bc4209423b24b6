"""The only door to R: a batch goes to an expendable process that holds R, its results come back."""

from tasks.engine.border import (
    Batch,
    BatchResult,
    Floats,
    OnProgress,
    calibrate_batch,
    engine_versions,
    open_pool,
    start_early,
    threads,
)
from tasks.engine.process import Pool, ProcessLostError, TimedOutError

__all__ = [
    "Batch",
    "BatchResult",
    "Floats",
    "OnProgress",
    "Pool",
    "ProcessLostError",
    "TimedOutError",
    "calibrate_batch",
    "engine_versions",
    "open_pool",
    "start_early",
    "threads",
]
