"""Values of a request that a plain type cannot describe: how each is read, and what refuses it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from tasks.results import ENSEMBLE
from tasks.terms import AgeGroup, aliases_among, normal, one_name, show

INLINE_ROWS = (
    "individual records cannot be written into a request, because Prefect keeps requests in its database; "
    "put them into a file and give its address as input.uri, or give counts as {algorithm: {cause: deaths}}"
)

Validate = Callable[[Any], Any]


def refuse(sentence: str) -> PydanticCustomError:
    """An error whose message is the sentence as it stands."""
    return PydanticCustomError("plain", "{sentence}", {"sentence": sentence})


def reported_as(sentence: str, *, text: bool = False) -> WrapValidator:
    """Report whatever is wrong with a value in one sentence, not one for each type that it could have had.

    text: the value is text, which YAML may have taken for a number.
    """

    def check(value: Any, handler: Validate) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            if text and isinstance(value, int | float) and not isinstance(value, bool):
                raise refuse(f"{sentence}; {value} is a number: put it in quotes") from None
            own = [str(e["msg"]) for e in error.errors(include_url=False) if e["type"] == "plain"]
            raise refuse(own[0] if own else sentence + what_it_is(value)) from None

    return WrapValidator(check)


def what_it_is(value: Any) -> str:
    """The end of a sentence that shows a wrong value, if it is short and no address."""
    if isinstance(value, bool):
        return (
            f"; it is {str(value).lower()} (what YAML makes of words such as yes and no: put text in quotes)"
        )
    shown = isinstance(value, str | int | float) and "/" not in str(value)
    return f"; it is {show(str(value))}" if shown else ""


def algorithm_name(value: Any) -> Any:
    """An algorithm's one name, in lower case; 'ensemble' is taken."""
    if not isinstance(value, str):
        return value
    name = one_name(value)
    if name == ENSEMBLE:
        raise refuse("'ensemble' is not an algorithm: name its members, and set ensemble: true")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,39}", name):
        raise refuse(
            f"{show(value)} cannot be an algorithm's name: letters, digits, '_', '.' and '-', at most 40"
        )
    return name


def inline_counts(value: Any) -> Any:
    """Refuses individual records, and an algorithm under two spellings of its name."""
    if isinstance(value, list) or (
        isinstance(value, dict) and any(isinstance(causes, list | str) for causes in value.values())
    ):
        raise refuse(INLINE_ROWS)
    return algorithms_once(_causes_once(value))


def _causes_once(value: Any) -> Any:
    """Refuses counts of a cause under two spellings: both would be added up."""
    for causes in value.values() if isinstance(value, dict) else ():
        names = [normal(str(name)) for name in causes] if isinstance(causes, dict) else []
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise refuse(
                f"cause {show(twice[0])} is given more than once (upper and lower case are the same)"
            )
    return value


def algorithms_once(value: Any) -> Any:
    """Refuses a map that has an algorithm under two spellings of its name: one of them would be lost."""
    if isinstance(value, dict):
        names = [one_name(name) for name in value if isinstance(name, str)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            aliases = aliases_among(name for name in value if one_name(str(name)) == twice[0])
            why = (
                f"also spelled {', '.join(sorted(aliases))}"
                if aliases
                else "upper and lower case are the same"
            )
            raise refuse(f"{show(twice[0])} is given more than once ({why})")
    return value


def spelled_aliases(fields: Any) -> tuple[str, ...]:
    """Aliases of algorithms that a request's own fields use: in algorithms, input.uri and input.counts."""
    if not isinstance(fields, dict):
        return ()
    given = fields.get("input")
    maps = [given.get("uri"), given.get("counts")] if isinstance(given, dict) else []
    found = [name for one in maps if isinstance(one, dict) for name in one]
    named = fields.get("algorithms")
    return tuple(sorted(aliases_among([*found, *(named if isinstance(named, list | tuple) else ())])))


def no_inline_rows(value: Any) -> Any:
    """Refuses individual records in place of the input's description, under whatever name."""
    known = {"counts", "uri", "format", "layout"}
    if isinstance(value, list) or (
        isinstance(value, dict)
        and any(isinstance(v, list | dict) for k, v in value.items() if k not in known)
    ):
        raise refuse(INLINE_ROWS)
    return value


def plain_uri(value: Any) -> Any:
    """Local paths, file:// and s3:// only, and no credentials, which are never echoed."""
    if not isinstance(value, str) or "://" not in value:
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("s3", "file"):
        raise refuse(
            f"addresses begin with s3:// or file://, or are local paths, not {show(parts.scheme + '://')}"
        )
    secret = re.search(r"(?i)(key|secret|token|password|signature|credential)[^/=]*=", value)
    if "@" in parts.netloc or secret:
        raise refuse(
            "holds credentials; take them out (a request is stored): they come from the standard AWS chain, "
            "such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a Prefect block"
        )
    return value


def sorted_quantiles(value: tuple[float, ...]) -> tuple[float, ...]:
    """The quantiles asked for together with 0.025 and 0.975, in order."""
    for quantile in value:
        if not 0 < quantile < 1:
            raise refuse(f"quantiles lie between 0 and 1, both excluded; {quantile} does not")
        if round(quantile, 3) != quantile:
            raise refuse(f"quantiles have at most three decimals; {quantile} has more")
    return tuple(sorted({0.025, 0.975, *value}))


Texts = Annotated[tuple[str, ...], Field(strict=False)]
Uri = Annotated[str, Field(min_length=1), BeforeValidator(plain_uri)]
Algorithm = Annotated[str, BeforeValidator(algorithm_name)]
Counts = Annotated[
    dict[Algorithm, dict[str, Annotated[int, Field(ge=0, le=10**9)]]], BeforeValidator(inline_counts)
]
CauseLabels = Annotated[
    dict[str, str] | dict[AgeGroup, dict[str, str]],
    reported_as(
        "must be a map from label to broad cause, such as {A00-B99: other_infections}, all of them text (put "
        "numbers in quotes); or such a map for neonate and one for child"
    ),
]
Files = Annotated[
    Uri | Annotated[tuple[Uri, ...], Field(strict=False, min_length=1)],
    reported_as("must be the address of a file, folder or pattern, or a list of them"),
]
FilesByAlgorithm = Annotated[
    Uri
    | Annotated[tuple[Uri, ...], Field(strict=False, min_length=1)]
    | Annotated[dict[Algorithm, Files], BeforeValidator(algorithms_once)],
    reported_as(
        "must be an address, a list of addresses, or a map from algorithm to its address or addresses"
    ),
]
