"""A run as JSON for a web page: units with their results, every figure beside its verdict and caveats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tasks.results import Reason, Results, reasons_from_json, reasons_to_json, split_flags
from tasks.terms import Language
from tasks.verdict import reasons_in_words
from tasks.view import Result, Unit, View, provenance, run_caveats, trusts_interval

FORMAT = 2
"""Version of the layout, documented in docs/report.md."""


def json_text(results: Results, language: Language = "en") -> str:
    """The whole run, without records and matrices; labels and sentences are in the language."""
    view = View(results, language)
    reasons = _reasons(view)
    document = {
        "format": FORMAT,
        "language": language,
        "run": view.manifest["run"],
        "name": view.manifest["name"],
        "status": view.manifest["status"],
        "illustrative": bool(view.manifest["inventory"]["illustrative"]),
        "caveats": run_caveats(view),
        "provenance": [{"label": label, "value": value} for label, value in provenance(view)],
        "strata_columns": view.columns,
        "algorithms": {name: view.say.algorithm(name) for name in view.algorithms},
        "causes": {name: view.say.cause(name) for name in view.causes(view.units)},
        "reasons": [_said(reason, view) for reason in reasons],
        "units": [_unit(unit, reasons) for unit in view.units],
        "contrasts": _contrasts(view) if view.has_table("contrasts") else [],
    }
    return (
        json.dumps(document, ensure_ascii=False, allow_nan=False, indent=None, separators=(",", ":")) + "\n"
    )


_OF_A_CONTRAST = (
    "level", "age_group", "country", "between", "reference", "compared", "algorithm", "cause",
    "reference_mean", "compared_mean", "difference", "sd", "q025", "q975", "probability_higher", "status",
    "verdict",
)  # fmt: skip


def _contrasts(view: View) -> list[dict[str, Any]]:
    """Each difference with its place and, in words, its reasons."""
    rows = view.results.table("contrasts").to_pylist()
    return [
        {
            **{name: row[name] for name in _OF_A_CONTRAST},
            "place": {name: row[name] for name in view.columns},
            "flags": split_flags(row["flags"]),
            "reasons": reasons_in_words(row["verdict_codes"], view.say),
        }
        for row in rows
    ]


_Places = Mapping[Reason, int]
"""The place of each reason in the document's list `reasons`, from 0; results refer to them by it."""


def _reasons(view: View) -> _Places:
    """Every reason of the run, in a fixed order."""
    cells = {*view.estimates.table["verdict_codes"].unique().to_pylist(), *view.counts("verdict_codes")}
    reasons = {reason for cell in cells for reason in reasons_from_json(cell)}
    return {
        reason: place for place, reason in enumerate(sorted(reasons, key=lambda one: reasons_to_json([one])))
    }


def _said(reason: Reason, view: View) -> dict[str, Any]:
    """A reason as the tables have it, with its sentence."""
    cell = reasons_to_json([reason])
    return {**json.loads(cell)[0], "words": reasons_in_words(cell, view.say)[0]}


def _unit(unit: Unit, reasons: _Places) -> dict[str, Any]:
    main = unit.main
    return {
        "level": unit.level,
        "stratum": unit.stratum,
        "label": unit.label,
        "age_group": unit.age_group,
        "country": unit.country,
        "values": unit.values,
        "deaths": unit.deaths,
        "main": main.algorithm if main else None,
        "verdict": unit.verdict,
        "results": [_result(result, reasons) for result in unit.results],
    }


def _result(result: Result, reasons: _Places) -> dict[str, Any]:
    return {
        "algorithm": result.algorithm,
        "status": result.fit.get("status"),
        "verdict": result.verdict,
        "verdict_in_words": result.view.say(f"verdicts.{result.shown}"),
        "reasons": [reasons[one] for one in reasons_from_json(result.codes)],
        "lambda": result.fit.get("lambda"),
        "causes": [_cause(row, result.view, reasons) for row in result.rows],
    }


def _cause(row: Mapping[str, Any], view: View, reasons: _Places) -> dict[str, Any]:
    kept = {
        name: row[name] for name in ("cause", "deaths", "raw", "mean", "q025", "q975", "status", "verdict")
    }
    flags = split_flags(row["flags"] or "")
    kept |= {"quoted": view.quoted(row), "interval_too_narrow": not trusts_interval(row)}
    return {
        **kept,
        "flags": flags,
        "reasons": [reasons[one] for one in reasons_from_json(row["verdict_codes"])],
    }
