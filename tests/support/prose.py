"""The project without its prose: what decides by data works on."""

from __future__ import annotations

import pytest

from tasks.errors import VacalError
from tasks.terms.words import LANGUAGES, words

_NAMES_OF_SHEETS = ("exports.about", "exports.results")  # two sheets of one name cannot be


def without_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message in every language is `x`; only how numbers are written stays."""
    for language in LANGUAGES:
        say = words(language)
        kept = {key: text for key, text in say.messages.items() if key.startswith("numbers.")}
        names = {key: say.messages[key] for key in _NAMES_OF_SHEETS}
        monkeypatch.setattr(
            say, "messages", {key: text and "x" for key, text in say.messages.items()} | kept | names
        )
        monkeypatch.setattr(say, "_plurals", {})


def without_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every error and every final state of a calibration says `x`."""
    monkeypatch.setattr(VacalError, "__str__", lambda self: "x")
    monkeypatch.setattr("flows.calibrate.in_a_sentence", lambda *_, **__: "x")
