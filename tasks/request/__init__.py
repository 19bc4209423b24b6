"""What a user requests: one model, its rules, and its file."""

from tasks.request.addresses import addresses_beside_input, with_addresses
from tasks.request.fields import ColumnRef
from tasks.request.model import CalibrationRequest, load_request, parse_request
from tasks.request.problems import plain_problems

__all__ = [
    "CalibrationRequest",
    "ColumnRef",
    "addresses_beside_input",
    "load_request",
    "parse_request",
    "plain_problems",
    "with_addresses",
]
