"""The reasons of a verdict in words, from the column `verdict_codes`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite

from tasks.results import Reason, reasons_from_json
from tasks.terms import Words

_MOST_DECIMALS = 17


@dataclass(frozen=True)
class _Figures:
    """How the figures of a rule are shown: with at least so many decimals, or in percent."""

    value: int = 0
    limit: int = 0
    percent: bool = False


_OF_RULES = {
    "deaths": _Figures(),
    "ess": _Figures(),
    "rhat": _Figures(3, 2),
    "lambda": _Figures(percent=True),
    "left_out": _Figures(percent=True),
}
_LAMBDA_IN_SHORT = _Figures(2, 2)


def reasons_in_words(codes: str | None, say: Words) -> list[str]:
    """One sentence for each reason in a cell of the column `verdict_codes`, in the words' language."""
    return [_sentence(reason, say) for reason in reasons_from_json(codes)]


def reasons_in_short(codes: str | None, say: Words) -> list[str]:
    """The same where room is short: the names of flags and rules with the value that crossed the limit."""
    return [_short(reason, say) for reason in reasons_from_json(codes)]


def _short(reason: Reason, say: Words) -> str:
    name = say.section("flag_names").get(reason.rule)
    if name:
        return name
    if reason.rule not in say.section("rule_names"):
        return _sentence(reason, say).rstrip(".")
    return say.pair(say(f"rule_names.{reason.rule}"), _value(reason, say))


def _value(reason: Reason, say: Words) -> str:
    """What the reason is about, as it is read."""
    if reason.rule == "zero_causes":
        return _causes(reason, say)
    if reason.rule == "member_passed_through":
        return say.series(_by_algorithm(reason, say))
    value, _ = _figures(reason, say, _LAMBDA_IN_SHORT if reason.rule == "lambda" else _OF_RULES[reason.rule])
    return value + (f" ({_algorithms(reason, say)})" if reason.algorithms else "")


def _sentence(reason: Reason, say: Words) -> str:
    """A reason in words; the message may name {limit} and {value}."""
    key = f"verdict_reasons.{reason.rule}"
    if reason.rule in _OF_RULES:
        value, limit = _figures(reason, say, _OF_RULES[reason.rule])
        if reason.algorithms:
            return say(f"{key}_of", value=value, limit=limit, algorithm=_algorithms(reason, say))
        return say(key, count=reason.value, value=value, limit=limit)
    if reason.rule in ("zero_causes", "algorithms_disagree"):
        return say(key, value=_causes(reason, say))
    if reason.rule == "no_result":
        return say(key, value=say.or_plain(f"reasons.{reason.because or 'unknown'}"))
    if reason.rule == "member_passed_through":
        return say(key, value=say.series(_by_algorithm(reason, say)))
    if reason.rule == "passed_through":
        return say(key)
    return say(f"flags.{reason.rule}") + _because(reason, say)


def _because(reason: Reason, say: Words) -> str:
    if reason.rule == "misfit" and reason.algorithms:
        return " " + say("verdict_reasons.misfit_of", value=say.series(_by_algorithm(reason, say)))
    if reason.algorithms:
        return " " + say("verdict_reasons.members", value=_algorithms(reason, say))
    if reason.because:
        return " " + say("verdict_reasons.because", value=say.or_plain(f"reasons.{reason.because}"))
    return ""


def _causes(reason: Reason, say: Words) -> str:
    return say.listing(map(say.cause, reason.causes))


def _algorithms(reason: Reason, say: Words) -> str:
    return say.listing(say.algorithm(one.algorithm) for one in reason.algorithms)


def _by_algorithm(reason: Reason, say: Words) -> Iterator[str]:
    """Each algorithm of the reason, with its causes where it has some."""
    for one in reason.algorithms:
        name, causes = say.algorithm(one.algorithm), say.listing(map(say.cause, one.causes))
        yield say("verdict_reasons.misfit_one", algorithm=name, causes=causes) if causes else name


def _figures(reason: Reason, say: Words, style: _Figures) -> tuple[str, str]:
    """Value and limit as they are read: with as many decimals as show on which side the value lies."""
    scale = 100 if style.percent else 1
    limit = Decimal(str(reason.limit)) * scale
    exponent = limit.normalize().as_tuple().exponent
    of_limit = max(style.limit, -exponent if isinstance(exponent, int) else 0)
    value = reason.value
    of_value = style.value if value is None else _decimals(value * scale, limit, style.value)
    return _written(value, of_value, style, say), _written(reason.limit, of_limit, style, say)


def _decimals(value: float, limit: Decimal, at_least: int) -> int:
    """Decimals with which the value, rounded, is on the same side of the limit as it is."""
    if not isfinite(value):
        return at_least

    def tells(decimals: int) -> bool:
        shown = Decimal(f"{value:.{decimals}f}")
        return shown > limit if Decimal(value) > limit else shown < limit

    return next((n for n in range(at_least, _MOST_DECIMALS) if tells(n)), _MOST_DECIMALS)


def _written(value: float | None, decimals: int, style: _Figures, say: Words) -> str:
    return say.percent(value, decimals) if style.percent else say.number(value, decimals)
