"""Kills, stops and freezes server, worker and database of an installation at seeded moments, with runs in flight.

    script/service-faults [--faults 50] [--seed 1]

Starts an installation of its own by script/up (PostgreSQL, a folder as store). Each fault strikes at a random moment
of two runs that were submitted together. Every run must end complete, without a person, with the bytes of a run that
nobody disturbed; and no process of a run may be left. Prints each fault and a table of the seconds to the end of the
runs; ends with status 1 if a run failed or differed.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support import faults  # noqa: E402 - of the tests
from support.installation import Installation, installed, until  # noqa: E402

SEEDS = (1, 2)


def strike_all(installation: Installation, folder: Path, count: int, seed: int) -> bool:
    """Strike so many times; whether every run ended complete with the bytes of an undisturbed one."""
    points, uri = random.Random(seed), str(folder / "deaths.csv")
    Path(uri).write_text(faults.deaths())
    began = time.time()
    runs = [faults.submit(installation, uri, str(folder / "undisturbed"), one) for one in SEEDS]
    known = [faults.ended(installation, run, began) for run in runs]
    length = max(one.seconds for one in known)
    print(f"undisturbed: {length:.0f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    kinds = [list(faults.FAULTS)[number % len(faults.FAULTS)] for number in range(count)]
    points.shuffle(kinds)
    seen, right = [], 0
    for number, kind in enumerate(kinds):
        output = str(folder / f"fault-{number:03}")
        runs = [faults.submit(installation, uri, output, one) for one in SEEDS]
        wait = points.uniform(0, length)
        time.sleep(wait)
        struck = time.time()
        faults.FAULTS[kind](installation)
        ends = [faults.ended(installation, run, struck) for run in runs]
        same = [
            end.files == one.files and end.state == "Completed" for end, one in zip(ends, known, strict=True)
        ]
        until(lambda: not faults.runs_processes(installation))
        right += all(same)
        seen += [(kind, max(0.0, end.seconds), end.resumed) for end in ends]
        told = ", ".join(f"{end.state} {end.seconds:.0f} s, resumed {end.resumed}" for end in ends)
        print(
            f"{number + 1:3}  {kind:20} after {wait:4.1f} s: {told}: {'equal' if all(same) else 'WRONG'}",
            flush=True,
        )
        for end, good in zip(ends, same, strict=True):
            if not good:
                print(f"     {end.state}: {end.message}", flush=True)
    print(f"\n{faults.table(seen)}\n\n{right} of {count} faults: both runs complete, equal bytes")
    print(f"load {os.getloadavg()[0]:.1f}")
    return right == count


def main() -> int:
    """Strike as often as asked; 0 if all went on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with installed(VACAL_STORE=scratch, VACAL_INBOX=scratch) as installation:
            return 0 if strike_all(installation, folder, given.faults, given.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
