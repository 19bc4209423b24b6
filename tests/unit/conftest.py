"""Unit tests need no R: they see an engine that is installed and cannot compute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.settings import settings


@pytest.fixture(autouse=True)
def no_r(
    request: pytest.FixtureRequest, made_library: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Set the made-up library, and no R to start; not for the few tests here that are marked with `r`."""
    if request.node.get_closest_marker("r"):
        yield
        return
    monkeypatch.setenv("VACAL_R_LIBRARY", str(made_library))
    monkeypatch.setenv("R_HOME", str(made_library))
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture(scope="session")
def made_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An R library with the description of the R package vacal, and nothing else of it."""
    library = tmp_path_factory.mktemp("library")
    (library / "vacal").mkdir()
    (library / "vacal" / "DESCRIPTION").write_text(
        "Package: vacal\nVersion: 0.0.0\nBuilt: R 0.0.0; ; ; unix\n"
    )
    return library
