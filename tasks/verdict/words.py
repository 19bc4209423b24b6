"""The reasons of a verdict in words, from the column `verdict_codes`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tasks.terms import Words


def reasons_in_words(codes: str, say: Words) -> list[str]:
    """One sentence for each reason in a cell of the column `verdict_codes`, in the words' language."""
    parts = (code.split(":", 2) for code in codes.split(";") if code)
    return [_sentence(rule, limit, value, say) for rule, limit, value in parts]


def reasons_in_short(codes: str, say: Words) -> list[str]:
    """The same where room is short: the names of flags and rules with the value that crossed the limit."""
    parts = (code.split(":", 2) for code in codes.split(";") if code)
    return [_short(rule, limit, value, say) for rule, limit, value in parts]


def _short(rule: str, limit: str, value: str, say: Words) -> str:
    name = say.section("flag_names").get(rule)
    if name:
        return name
    if rule not in say.section("rule_names"):
        return _sentence(rule, limit, value, say).rstrip(".")
    return say.pair(say(f"rule_names.{rule}"), _value(rule, value, say))


def _value(rule: str, value: str, say: Words) -> str:
    """The value that crossed a rule's limit, as it is read."""
    if rule == "left_out":
        share, _, algorithm = value.partition(",")
        return say.percent(float(share)) + (f" ({say.algorithm(algorithm)})" if algorithm else "")
    if rule == "zero_causes":
        return say.listing(map(say.cause, value.split(",")))
    if rule == "member_passed_through":
        return say.series(_by_algorithm(value, say))
    if rule in ("deaths", "ess"):
        return say.number(float(value))
    return say.decimal(float(value), 3 if rule == "rhat" else 2)


def _sentence(rule: str, limit: str, value: str, say: Words) -> str:
    """A reason in words; the message may name {limit} and {value}."""
    if rule == "left_out":
        return _left_out(float(limit), value, say)
    if rule == "lambda":
        return say(
            f"verdict_reasons.{rule}", limit=say.percent(float(limit)), value=say.percent(float(value))
        )
    if rule == "rhat":
        return say(
            f"verdict_reasons.{rule}", limit=say.decimal(float(limit), 2), value=say.decimal(float(value), 3)
        )
    if rule in ("deaths", "ess"):
        return say(f"verdict_reasons.{rule}", limit=say.number(float(limit)), value=say.number(float(value)))
    if rule in ("zero_causes", "algorithms_disagree"):
        return say(f"verdict_reasons.{rule}", value=say.listing(map(say.cause, value.split(","))))
    if rule == "no_result":
        return say(f"verdict_reasons.{rule}", value=say.or_plain(f"reasons.{value or 'unknown'}"))
    if rule == "member_passed_through":
        return say(f"verdict_reasons.{rule}", value=say.series(_by_algorithm(value, say)))
    if rule == "passed_through":
        return say("verdict_reasons.passed_through")
    return say(f"flags.{rule}") + _because(rule, value, say)


def _left_out(limit: float, value: str, say: Words) -> str:
    """The share left out; of an ensemble `share,algorithm`, the member whose records they are."""
    share, _, algorithm = value.partition(",")
    message = "verdict_reasons.left_out_of" if algorithm else "verdict_reasons.left_out"
    named = {"algorithm": say.algorithm(algorithm)} if algorithm else {}
    return say(message, limit=say.percent(limit), value=say.percent(float(share)), **named)


def _because(rule: str, value: str, say: Words) -> str:
    if not value:
        return ""
    if rule == "misfit":
        return " " + say("verdict_reasons.misfit_of", value=say.series(_by_algorithm(value, say)))
    if rule == "interval_unreliable":
        return " " + say("verdict_reasons.members", value=say.listing(map(say.algorithm, value.split(","))))
    return " " + say("verdict_reasons.because", value=say.or_plain(f"reasons.{value}"))


def _by_algorithm(value: str, say: Words) -> Iterator[str]:
    """Each algorithm with its causes in words, from "eava (ipre, pneumonia), interva"."""
    for algorithm, causes in re.findall(r"([^,(]+?)(?: \(([^)]*)\))?(?:, |$)", value):
        name, named = say.algorithm(algorithm), [say.cause(cause) for cause in causes.split(", ") if cause]
        yield (
            say("verdict_reasons.misfit_one", algorithm=name, causes=say.listing(named)) if named else name
        )
