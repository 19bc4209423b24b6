"""Alerts as code: what the server does by itself when a run fails, is late, is stuck or loses its machine.

`alerts` are plain definitions; `apply_automations` puts them on the server, replacing those of the same name:
applying twice changes nothing, and a change here reaches the server with the next deployment.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from tasks.results import SHORTFALLS
from tasks.service.client import NEWER_INVENTORY, TAG, WITHOUT_REPORT
from tasks.terms import amount

BLOCK = "vacal-alerts"
HEARTBEAT_LOST = timedelta(seconds=150)
"""Five heartbeats of 30 seconds (PREFECT_FLOWS_HEARTBEAT_FREQUENCY); a busy machine may miss one or two."""

RUN_EVENT = "prefect.flow-run."
OF_THIS_PROJECT = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
FAILED = ("Failed", "BadInput", "TimedOut", "Crashed", *SHORTFALLS)
ENDED = (*FAILED, "Completed", WITHOUT_REPORT, NEWER_INVENTORY, "Cancelled")
"""Names of all final states: a run in one that is not here would be taken for lost or stuck."""


def lost_runs() -> AutomationCore:
    """A run whose process is gone (power cut, kill -9) is marked as crashed, not left running for ever."""
    return AutomationCore(
        name="vacal: mark lost runs as crashed",
        description="A run that sent heartbeats, then neither a heartbeat nor an end, has lost its process.",
        trigger=_trigger(
            after=("heartbeat",),
            expect=("heartbeat", *ENDED),
            within=HEARTBEAT_LOST,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message="Its process is gone; submit it again.",
                force=False,
            )
        ],
    )


def alerts(webhook: UUID, stuck_after: timedelta) -> list[AutomationCore]:
    """Calls of a webhook block for failed, late and stuck runs, and for newer matrices."""
    failed = _trigger(expect=FAILED)
    late = _trigger(expect=("Late",))
    stuck = _trigger(after=("Running",), expect=ENDED, within=stuck_after)
    newer = _trigger(expect=(NEWER_INVENTORY,))
    begun = f"A run has not ended {_words(stuck_after)} after it began."
    return [
        _alert("failed", "has failed", webhook, failed, "A run failed, was refused, or lacks results."),
        _alert("late", "is late", webhook, late, "No worker has started a run that is due."),
        _alert("stuck", "is stuck", webhook, stuck, begun),
        _alert("inventory", "found newer matrices", webhook, newer, "They are stored, and used by no run."),
    ]


def _words(time: timedelta) -> str:
    """A length of time in the largest unit that it is a multiple of; '6 hours'."""
    seconds = round(time.total_seconds())
    size, unit = next((s, u) for s, u in ((3600, "hour"), (60, "minute"), (1, "second")) if seconds % s == 0)
    return amount(seconds // size, unit)


def apply_automations(client: SyncPrefectClient, url: str | None, stuck_after: timedelta) -> list[str]:
    """Put the automations on the server; `url`: the webhook, None for no alerts. Returns their names."""
    wanted = [lost_runs()]
    if url is not None:
        headers = {"Content-Type": "application/json"}
        block = Webhook.model_validate({"url": url, "method": "POST", "headers": headers})
        wanted += alerts(UUID(str(block.save(BLOCK, overwrite=True))), stuck_after)
    return [_put(client, automation) for automation in wanted]


def _put(client: SyncPrefectClient, automation: AutomationCore) -> str:
    present = next(iter(client.read_automations_by_name(automation.name)), None)
    if present is None:
        client.create_automation(automation)
    elif not _same(present, automation):  # an update makes the server forget what its trigger has seen so far
        client.update_automation(present.id, automation)
    return automation.name


def _same(there: AutomationCore, wanted: AutomationCore) -> bool:
    """Whether the server's automation is the wanted one, but for what the server adds to it."""
    fields = set(AutomationCore.model_fields) - {"owner_resource"}
    return all(getattr(there, field) == getattr(wanted, field) for field in fields)


def _trigger(
    *, expect: Sequence[str], after: Sequence[str] = (), within: timedelta | None = None
) -> EventTrigger:
    """When one of `expect` happens to a run; with `within`: when none does for that long after `after`."""
    return EventTrigger.model_validate(
        {
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "match_related": OF_THIS_PROJECT,
            "after": {RUN_EVENT + name for name in after},
            "expect": {RUN_EVENT + name for name in expect},
            "for_each": {"prefect.resource.id"},
            "posture": Posture.Reactive if within is None else Posture.Proactive,
            "threshold": 1,
            "within": within or timedelta(0),
        }
    )


def _alert(kind: str, words: str, webhook: UUID, trigger: EventTrigger, description: str) -> AutomationCore:
    payload = (
        f'{{"alert": "{kind}", "run": {{{{ flow_run.name | tojson }}}}, "id": "{{{{ flow_run.id }}}}", '
        '"state": {{ flow_run.state.name | tojson }}, "message": {{ flow_run.state.message | tojson }}, '
        '"url": "{{ flow_run | ui_url }}"}'
    )
    return AutomationCore(
        name=f"vacal: a run {words}",
        description=description,
        trigger=trigger,
        actions=[CallWebhook(block_document_id=webhook, payload=payload)],
    )
