"""A run as JSON for a web page: units with their results, every figure beside its verdict and caveats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tasks.results import Results, split_flags
from tasks.terms import Language
from tasks.verdict import reasons_in_words
from tasks.view import Result, Unit, View, provenance, run_caveats, trusts_interval

FORMAT = 1
"""Version of the layout, documented in docs/report.md."""


def json_text(results: Results, language: Language = "en") -> str:
    """The whole run, without records and matrices; labels and sentences are in the language."""
    view = View(results, language)
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
        "reasons": _reasons(view),
        "units": [_unit(unit) for unit in view.units],
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


def _reasons(view: View) -> dict[str, str]:
    """Each reason of the run in words; results refer to them by code."""
    cells = {*view.estimates.table["verdict_codes"].unique().to_pylist(), *view.counts("verdict_codes")}
    codes = sorted({code for cell in cells for code in _codes(cell)})
    return {code: reasons_in_words(code, view.say)[0] for code in codes}


def _codes(cell: str | None) -> list[str]:
    return [code for code in (cell or "").split(";") if code]


def _unit(unit: Unit) -> dict[str, Any]:
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
        "results": [_result(result) for result in unit.results],
    }


def _result(result: Result) -> dict[str, Any]:
    return {
        "algorithm": result.algorithm,
        "status": result.fit.get("status"),
        "verdict": result.verdict,
        "verdict_in_words": result.view.say(f"verdicts.{result.shown}"),
        "reasons": _codes(result.codes),
        "lambda": result.fit.get("lambda"),
        "causes": [_cause(row, result.view) for row in result.rows],
    }


def _cause(row: Mapping[str, Any], view: View) -> dict[str, Any]:
    kept = {
        name: row[name] for name in ("cause", "deaths", "raw", "mean", "q025", "q975", "status", "verdict")
    }
    flags = split_flags(row["flags"] or "")
    kept |= {"quoted": view.quoted(row), "interval_too_narrow": not trusts_interval(row)}
    return {**kept, "flags": flags, "reasons": _codes(row["verdict_codes"])}
