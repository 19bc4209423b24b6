"""How flows and tasks end in an error of ours: with its sentence as the state's message, and no traceback."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect.client.schemas.objects import State
from prefect.states import Failed

from tasks.errors import VacalError

P = ParamSpec("P")
R = TypeVar("R")


def failed(name: str, error: VacalError) -> State[Any]:
    """A state of type FAILED; who asks for its result gets the error."""
    state: State[Any] = Failed(name=name, message=str(error), data=error)
    return state


def without_traceback(function: Callable[P, R]) -> Callable[P, R]:
    """The function, its VacalError as the task's state: the log then says the sentence and nothing more."""

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except VacalError as error:
            return failed("Failed", error)  # type: ignore[return-value]

    return told


def told_already(record: logging.LogRecord) -> bool:
    """A log filter: False for a traceback of a VacalError, as the run's final state has its sentence."""
    return not (record.exc_info and isinstance(record.exc_info[1], VacalError))


# A worker's process asks a failed flow for its result, and logs what that raises.
for _name in ("prefect.flow_runs", "prefect.engine"):
    logging.getLogger(_name).addFilter(told_already)
