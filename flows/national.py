"""The scheduled run: the newest input of an inbox, calibrated by the one calibration flow."""

from __future__ import annotations

from prefect import flow, get_run_logger

from flows.calibrate import calibrate
from tasks.request import CalibrationRequest, parse_request
from tasks.service import with_newest_input


@flow(
    name="calibrate-national",
    flow_run_name=calibrate.flow_run_name,
    task_runner=calibrate.task_runner,
    validate_parameters=False,
)
def calibrate_national(request: CalibrationRequest) -> object:
    """Calibrate the newest file of the request's input, a folder or a pattern; the rest is as in `calibrate`.

    An input that was calibrated before is recognised by its content, and its stored results are returned.
    """
    asked = request if isinstance(request, CalibrationRequest) else parse_request(request)
    newest = with_newest_input(asked)
    get_run_logger().info("The newest input is %s", newest.input.uri)
    return calibrate.fn(newest)
