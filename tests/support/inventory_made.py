"""A made-up inventory in the shape of the published one, as R writes it; and R packages that hold it."""

from __future__ import annotations

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np

from tasks.matrices.illustrative import illustrative_inventory

CAUSES = {entry.age_group: list(entry.causes) for entry in illustrative_inventory().entries}


def made_alphas(age_group: str, algorithm: int, country: int) -> np.ndarray:
    """The matrix that make_inventory.R writes for these (algorithm and country counted from 1)."""
    size = len(CAUSES[age_group])
    i, j = np.indices((size, size)) + 1
    return 10.0 * (i == j) + i + 2 * j + 3 * algorithm + 4 * country


def write_rda(file: Path, name: str = "CCVA_missmat") -> Path:
    """The made-up inventory as an .rda file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("make_inventory.R")
    subprocess.run(["Rscript", str(script), str(file), name], check=True, capture_output=True)
    return file


def source_archive(members: dict[str, bytes]) -> bytes:
    """A package's source archive (.tar.gz) with these files."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))
    return buffer.getvalue()


def install_package(rda: Path, folder: Path, compression: str | None) -> Path:
    """Install an R package `vacalibration` that holds the data file; returns the library.

    compression: of its lazy-load database; None: it has none, data sets are files.
    """
    package, library = folder / "vacalibration", folder / "library"
    (package / "data").mkdir(parents=True)
    library.mkdir()
    (package / "data" / rda.name).write_bytes(rda.read_bytes())
    (package / "NAMESPACE").write_text("")
    (package / "DESCRIPTION").write_text(
        "Package: vacalibration\nVersion: 9.9\nTitle: Made Up\nDescription: Made up.\nLicense: MIT\n"
        "Author: A\nMaintainer: A <a@b.c>\n"
        + (f"LazyData: true\nLazyDataCompression: {compression}\n" if compression else "")
    )
    command = ["R", "CMD", "INSTALL", "--no-docs", "--no-test-load", f"--library={library}", str(package)]
    subprocess.run(command, check=True, capture_output=True)
    return library
