"""Errors that a user can act on. Anything else that is raised is a defect of this project.

VacalError
    InputError      the request or the data are wrong: never retried; holds every problem found
    InventoryError  no misclassification matrices could be had, or not the ones asked for
    EngineError     R or the sampler ended badly; carries the last lines of R's output
    StorageError    the results store refused or did not answer: retried by the task
    StateError      the run is not in a state that allows what was asked for
    ServiceError    the Prefect server cannot be reached, or does not know what was asked for
"""

from __future__ import annotations

from collections.abc import Sequence


class VacalError(Exception):
    """Base of all errors that say what is wrong and what to do."""


class InputError(VacalError):
    """The request or its data cannot be used; `problems` lists everything that was found, one sentence each.

    A sentence that begins with "to " is advice on the problems before it.
    """

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[str, ...]]]:
        return (type(self), (self.problems,))


class InventoryError(VacalError):
    """No inventory of misclassification matrices could be had, or it is not the one asked for."""


class EngineError(VacalError):
    """R failed, was killed or ran out of time; the message ends with the last lines that R printed."""


class StorageError(VacalError):
    """The results store could not be read or written; the message never holds credentials."""


class StateError(VacalError):
    """The run exists but is in a state that does not allow what was asked for."""


class ServiceError(VacalError):
    """The Prefect server could not be reached, refused, or does not know the run or deployment."""
