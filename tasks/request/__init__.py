"""What a user requests: one model, its rules, and its file."""

from tasks.request.fields import ColumnRef
from tasks.request.model import CalibrationRequest, load_request, parse_request
from tasks.request.problems import plain_problems

__all__ = ["CalibrationRequest", "ColumnRef", "load_request", "parse_request", "plain_problems"]
