"""A run without Prefect: prepare it, calibrate its chunks, publish it."""

from tasks.run.baseline_jobs import BaselineJob
from tasks.run.baselines import keep_baseline
from tasks.run.calibrate import calibrate_chunk, reason_lost
from tasks.run.checks import CheckJob, check_jobs, keep_check
from tasks.run.chunks import Chunk
from tasks.run.cost import run_seconds, time_limit
from tasks.run.job import Job, OtherEngineError, Work
from tasks.run.manifest import COMPLETE, WITH_FAILURES, in_order, may_heal
from tasks.run.outcome import sentences, shortfalls, stored_outcome
from tasks.run.prepare import prepare
from tasks.run.publish import Done, publish
from tasks.run.reading import reading_of

__all__ = [
    "COMPLETE",
    "WITH_FAILURES",
    "BaselineJob",
    "CheckJob",
    "Chunk",
    "Done",
    "Job",
    "OtherEngineError",
    "Work",
    "calibrate_chunk",
    "check_jobs",
    "in_order",
    "keep_baseline",
    "keep_check",
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
