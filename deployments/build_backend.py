"""Builds an editable install only: the clone is the installation.

The command line reads examples/, r/ and prefect.yaml beside the code, so a wheel would install a program that
does not work. `pip install .` therefore ends with this module's message; script/bootstrap runs
`pip install -e .`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

MESSAGE = """vacal is not installed from a wheel: the clone is the installation.
what to do: clone the project with git and run script/bootstrap in the clone"""


def build_editable(
    wheel_directory: str,
    config_settings: Mapping[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """The link from an environment to this clone, made by setuptools; returns the file's name."""
    from setuptools import build_meta

    name: str = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    return name


def refuse(*_: object, **__: object) -> NoReturn:
    """End with the message."""
    raise SystemExit(MESSAGE)


get_requires_for_build_wheel = build_wheel = get_requires_for_build_sdist = build_sdist = refuse
