"""The pages that script/report-check opens: reports of made-up runs, in the languages named.

python -m report_cases FOLDER en fr pt
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from support.build_boundaries import made_up_boundaries
from support.build_results import PROVINCES, YEARS, Case, build
from tasks.report.page import render_report
from tasks.terms.words import LANGUAGES
from tasks.view.view import View

CASES = {
    "demo": Case("comsa-demo", age_groups=("neonate", "child")),
    "national": Case(
        "national", age_groups=("neonate", "child"),
        columns={"province": PROVINCES, "year": YEARS, "sex": ("f", "m")},
        roll_ups=([], ["province"], ["year"], ["province", "year"]), deaths=(30, 900),
    ),
    "every-flag": Case(
        "every-flag", columns={"district": tuple("ABCDEFGHI")}, roll_ups=([],), deaths=(15, 400),
        every_flag=True, illustrative=True,
    ),
    "failed-in-part": Case(
        "failed-in-part", columns={"province": PROVINCES}, roll_ups=([],), deaths=(60, 700), failures=True
    ),
    "failed": Case("failed", all_fail=True),
    "joint": Case(
        "joint", columns={"province": PROVINCES, "year": YEARS}, roll_ups=([], ["province"], ["year"]),
        deaths=(100, 2000), joint=True,
    ),
}  # fmt: skip


def main(folder: str, languages: list[str]) -> None:
    """Write the page of each case and language, and say how long it took and how large it is."""
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as store:
            results = build(Path(store), case)
            boundaries = made_up_boundaries(PROVINCES) if name == "national" else None
            for language in LANGUAGES:
                if language not in languages:
                    continue
                started = time.perf_counter()
                page = render_report(View(results, language), boundaries)
                seconds = time.perf_counter() - started
                Path(folder, f"{name}-{language}.html").write_text(page, encoding="utf-8")
                print(f"{name} {language}: {seconds:.1f} s, {len(page.encode()) / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] or ["en"])
