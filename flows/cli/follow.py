"""What `vacal follow` prints: log lines, and progress as bars on a terminal or as lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bars

from tasks.service import AlgorithmProgress, Line

STEP = 10  # percent between two lines of progress where there are no bars


def print_events(events: Iterable[Line | AlgorithmProgress], out: Console) -> None:
    """Print everything as it comes."""
    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        console=out,
        transient=True,
    )
    tasks = {}
    printed: dict[str, int] = {}
    with bars:
        for event in events:
            if isinstance(event, Line):
                moment = event.time.astimezone().strftime("%H:%M:%S")
                out.print(f"{moment} {event.level:<7} {_said(event)}")
                continue
            if event.algorithm not in tasks:
                tasks[event.algorithm] = bars.add_task(event.algorithm, total=100)
            bars.update(tasks[event.algorithm], completed=event.percent)
            step = int(event.percent) // STEP
            if not out.is_terminal and step > printed.get(event.algorithm, -1):
                printed[event.algorithm] = step
                out.print(f"progress {event.algorithm} {event.percent:.0f}%")


def _said(line: Line) -> str:
    """The line, with the task's name where it needs one: what R says names its stratum by itself."""
    return f"{line.task}: {line.text}" if line.task and line.text.startswith("Finished in") else line.text
