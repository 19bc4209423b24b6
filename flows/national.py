"""The scheduled run: the newest input of an inbox, calibrated by the one calibration flow."""

from __future__ import annotations

from prefect import flow, get_run_logger

from flows.calibrate import calibrate, run_whole
from tasks.errors import InputError, VacalError
from tasks.request import CalibrationRequest, parse_request
from tasks.service import unread_in_words, unread_inputs, with_newest_input
from tasks.steps import failed


@flow(
    name="calibrate-national",
    flow_run_name=calibrate.flow_run_name,
    task_runner=calibrate.task_runner,
    validate_parameters=False,
)
def calibrate_national(request: CalibrationRequest) -> object:
    """Calibrate the newest file of the request's input, a folder or a pattern; the rest is as in `calibrate`.

    An input that was calibrated before is recognised by its content, and its stored results are returned.
    Other files of the input that are in no run of the store are named in the log, the manifest and the state.
    """
    log = get_run_logger()
    try:
        asked = request if isinstance(request, CalibrationRequest) else parse_request(request)
        newest = with_newest_input(asked)
        unread = unread_inputs(str(asked.input.uri), asked.output, reading=str(newest.input.uri))
    except InputError as error:
        return failed("BadInput", error)
    except VacalError as error:
        return failed("Failed", error)
    log.info("The newest input is %s", newest.input.uri)
    warnings = unread_in_words(unread)
    for warning in warnings:
        log.warning("%s", warning)
    return run_whole(newest, warnings=warnings)
