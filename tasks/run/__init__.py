"""A run without Prefect: prepare it, calibrate its chunks, publish it."""

from tasks.run.calibrate import OtherEngineError, calibrate_chunk, reason_lost
from tasks.run.chunks import Chunk
from tasks.run.cost import run_seconds, time_limit
from tasks.run.job import Job, Work
from tasks.run.manifest import COMPLETE, WITH_FAILURES, in_order, may_heal
from tasks.run.outcome import sentences, shortfalls, stored_outcome
from tasks.run.prepare import prepare
from tasks.run.publish import Done, publish
from tasks.run.reading import reading_of

__all__ = [
    "COMPLETE",
    "WITH_FAILURES",
    "Chunk",
    "Done",
    "Job",
    "OtherEngineError",
    "Work",
    "calibrate_chunk",
    "in_order",
    "may_heal",
    "prepare",
    "publish",
    "reading_of",
    "reason_lost",
    "run_seconds",
    "sentences",
    "shortfalls",
    "stored_outcome",
    "time_limit",
]
