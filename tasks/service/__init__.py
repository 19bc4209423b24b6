"""Runs on a Prefect server: submit, follow, watch and tidy them."""

from tasks.service.artifacts import progress_key
from tasks.service.automations import apply_automations
from tasks.service.client import (
    DEPLOYMENT,
    NEWER_INVENTORY,
    URGENT_QUEUE,
    WITHOUT_REPORT,
    RunStatus,
    Server,
    connect,
    record_results,
)
from tasks.service.content import absolute, input_content
from tasks.service.doctor import examine
from tasks.service.follow import AlgorithmProgress, Line, ServerSource, follow
from tasks.service.health import POOL, server_answers, service_checks
from tasks.service.metrics import metrics_text, serve_metrics
from tasks.service.retention import (
    remove_expired_inputs,
    remove_expired_runs,
    unread_in_words,
    unread_inputs,
    with_newest_input,
)
from tasks.service.strain import strain_checks
from tasks.service.upkeep import close_lost_runs, close_orphans, close_runs_of, take_up_crashed_runs

__all__ = [
    "DEPLOYMENT",
    "NEWER_INVENTORY",
    "POOL",
    "URGENT_QUEUE",
    "WITHOUT_REPORT",
    "AlgorithmProgress",
    "Line",
    "RunStatus",
    "Server",
    "ServerSource",
    "absolute",
    "apply_automations",
    "close_lost_runs",
    "close_orphans",
    "close_runs_of",
    "connect",
    "examine",
    "follow",
    "input_content",
    "metrics_text",
    "progress_key",
    "record_results",
    "remove_expired_inputs",
    "remove_expired_runs",
    "serve_metrics",
    "server_answers",
    "service_checks",
    "strain_checks",
    "take_up_crashed_runs",
    "unread_in_words",
    "unread_inputs",
    "with_newest_input",
]
