"""The page of a published run, written into the run's folder."""

from __future__ import annotations

from tasks.report.page import render_report
from tasks.storage import Storage
from tasks.view import View


def write_report(view: View, boundaries: str | None) -> str:
    """Write the page that people read, in the view's language, into the run's folder; returns its address.

    `boundaries`: text of the GeoJSON file for the maps; None: no maps. The page is made from the published
    tables and the boundaries alone and is not among the manifest's files. Raises StorageError.
    """
    storage = Storage(view.results.root)
    path = f"runs/{view.manifest['run']}/report-{view.say.language}.html"
    storage.write(path, render_report(view, boundaries).encode())
    return storage.uri(path)
