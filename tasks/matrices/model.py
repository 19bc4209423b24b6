"""Misclassification matrices and the inventory that holds them: what every source of matrices is turned into.

Rows are true causes (as CHAMPS found them by tissue sampling), columns the causes that the algorithm says.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tasks.errors import InputError
from tasks.terms import AGE_GROUPS, OTHER, name_key, nearest, resolve_country

MatrixType = Literal["prior", "fixed", "samples"]
MATRIX_TYPES: tuple[str, ...] = get_args(MatrixType)


@dataclass(frozen=True, eq=False)
class Matrix:
    """One misclassification matrix with its uncertainty.

    `values`: prior: C x C Dirichlet alphas, one Dirichlet a row; fixed: C x C rates, rows sum to 1;
    samples: S x C x C rates. `age_group` or `country` None: it serves every one.
    """

    age_group: str | None
    algorithm: str
    country: str | None
    type: str
    causes: tuple[str, ...]
    values: NDArray[np.float64]

    @property
    def place(self) -> str:
        """What the matrix is for, in words, as errors and listings say it."""
        return f"{self.algorithm}, {self.age_group or 'every age group'}, {self.country or 'every country'}"


@dataclass(frozen=True, eq=False)
class MatrixEntry:
    """The matrix that serves a request: `values` as in `Matrix`, and which entry of the inventory it is.

    `by_other`: the country has no matrix of its own, and the inventory's entry "other" stands in for it.
    """

    values: NDArray[np.float64]
    causes: list[str]
    country_used: str
    by_other: bool


@dataclass(frozen=True, eq=False)
class Inventory:
    """Misclassification matrices from one source, with what a result must say about their origin.

    `id`: champs-2.2, illustrative, or own-<file name>. `checksum`: sha256 (hex) of the published data file
    where there is one, else of the content. `verified`: the content is that of the published version named.
    `source`: where it was found, for people; it differs between machines and belongs in no result table.
    """

    id: str
    version: str
    checksum: str
    source: str
    illustrative: bool
    verified: bool
    entries: tuple[Matrix, ...]

    def matrices(
        self, age_group: str, algorithm: str, country: str, type: MatrixType = "prior"
    ) -> MatrixEntry:
        """The matrix for an age group, algorithm, country and type; upper and lower case are the same.

        Raises InputError where the inventory has none, saying what it has instead.
        """
        found = [m for m in self.entries if name_key(m.algorithm) == name_key(algorithm)]
        if not found:
            near = nearest(algorithm, self.algorithms(), limit=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(self._lacks(f"algorithm {algorithm!r}", self.algorithms()) + hint)
        found = [m for m in found if m.age_group in (None, age_group)]
        self._need(found, f"age group {age_group!r} of {algorithm}", self.age_groups())
        types = sorted({m.type for m in found})
        found = [m for m in found if m.type == type]
        self._need(found, f"type {type!r} for {algorithm}, {age_group}", types)
        return self._of_country(found, resolve_country(country))

    def _of_country(self, found: list[Matrix], country: str) -> MatrixEntry:
        by_country = {matrix.country: matrix for matrix in found}
        for serves in (country, OTHER, None):
            if serves in by_country:
                matrix = by_country[serves]
                by_other = serves == OTHER and country != OTHER
                return MatrixEntry(matrix.values, list(matrix.causes), serves or "every country", by_other)
        has = [str(name) for name in by_country]
        raise InputError(self._lacks(f"country {country!r} for {found[0].algorithm}", has))

    def _need(self, found: list[Matrix], what: str, has: list[str]) -> None:
        if not found:
            raise InputError(self._lacks(what, has))

    def _lacks(self, what: str, has: list[str]) -> str:
        return f"the inventory {self.id} has no matrix of {what}; it has: {', '.join(has)}"

    def algorithms(self) -> list[str]:
        """Names of the algorithms, in the inventory's order."""
        return list(dict.fromkeys(matrix.algorithm for matrix in self.entries))

    def age_groups(self) -> list[str]:
        """Names of the age groups, in the inventory's order ("every age group" where not told apart)."""
        return list(dict.fromkeys(matrix.age_group or "every age group" for matrix in self.entries))

    def broad_causes(self) -> dict[str, tuple[str, ...]]:
        """The causes of the matrices by age group: what a death's cause can be calibrated as."""
        return {
            group: matrix.causes
            for matrix in reversed(self.entries)
            for group in ([matrix.age_group] if matrix.age_group else AGE_GROUPS)
        }

    def countries(self) -> list[str]:
        """Names of the countries, in the inventory's order ("every country" where not told apart)."""
        return list(dict.fromkeys(matrix.country or "every country" for matrix in self.entries))


def mean_matrix(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean misclassification rates, C x C, rows sum to 1, of a matrix of any type (see `Matrix.values`)."""
    mean = values.mean(axis=0) if values.ndim == 3 else values
    return np.asarray(mean / mean.sum(axis=1, keepdims=True), dtype=np.float64)


def content_checksum(entries: tuple[Matrix, ...]) -> str:
    """sha256 (hex) over what the matrices say: independent of file format, order of entries and machine."""
    digest = hashlib.sha256()
    for matrix in sorted(entries, key=lambda m: (m.age_group or "", m.algorithm, m.country or "", m.type)):
        identity = (
            matrix.age_group or "",
            matrix.algorithm,
            matrix.country or "",
            matrix.type,
            *matrix.causes,
        )
        digest.update("\x1f".join([*identity, str(matrix.values.shape)]).encode())
        digest.update(np.ascontiguousarray(matrix.values, dtype="<f8").tobytes())
    return digest.hexdigest()
