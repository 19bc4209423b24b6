"""What the server does by itself: a run that lost its process goes on, and who should know of a run is told.

`recovery` and `alerts` are plain definitions; `apply_automations` puts them on the server, replacing those of the
same name: applying twice changes nothing, and a change here reaches the server with the next deployment.

A crashed run is scheduled again by a call of the server's own API (`bulk_set_state`), not by the automation's action
that changes a state: that one can neither repeat the cause nor keep the run's place in the queue.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL
from pydantic import SecretStr

from tasks.results import SHORTFALLS
from tasks.service.client import NEWER_INVENTORY, RESUMING, TAG, WITHOUT_REPORT
from tasks.terms import amount

BLOCK = "vacal-alerts"
OWN_API_BLOCK = "vacal-own-api"
HEARTBEAT_LOST = timedelta(minutes=10)
"""Longer than a flow waits for a server that is away (PREFECT_CLIENT_MAX_RETRIES): one that waits is not lost."""
CRASH_SETTLES = timedelta(seconds=10)
"""After so long a crashed run goes on: a worker says twice, seconds apart, that a process has ended."""
TRIES = 3
"""A run that crashed goes on at most so often; then it is Failed."""

RUN_EVENT = "prefect.flow-run."
OF_THIS_PROJECT = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
FAILED = ("Failed", "BadInput", "TimedOut", *SHORTFALLS)
SUCCEEDED = ("Completed", WITHOUT_REPORT, NEWER_INVENTORY, "Cancelled")
ENDED = (*FAILED, "Crashed", *SUCCEEDED)
"""Names of all final states: a run in one that is not here would be taken for lost or stuck."""


GOES_ON = "It goes on by itself where it stopped. What happened: "
GIVEN_UP = f"It crashed {TRIES + 1} times and is not tried again. What happened last: "
"""How the messages of these states begin; the cause follows."""


def lost_runs() -> AutomationCore:
    """A run whose process is gone (power cut, kill -9) is marked as crashed, not left running for ever."""
    return AutomationCore(
        name="vacal: mark lost runs as crashed",
        description="A run that was started, or sent heartbeats, then neither a heartbeat nor an end, has lost its "
        "process.",
        trigger=_trigger(
            after=("Pending", "heartbeat"),
            expect=("heartbeat", RESUMING, *ENDED),
            within=HEARTBEAT_LOST,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message="It has given no sign of life: its process or its machine is gone.",
                force=False,
            )
        ],
    )


def recovery(own_api: UUID) -> list[AutomationCore]:
    """What brings crashed runs to an end; `own_api`: the webhook block that calls this server."""
    counts = [str(count) for count in range(10 * TRIES)]
    crashed = _trigger(
        after=("Crashed",),
        expect=(RESUMING, "Pending", "Running", *FAILED, *SUCCEEDED),
        within=CRASH_SETTLES,
        run_count=counts[: TRIES + 1],
    )
    again = _trigger(expect=("Crashed",), run_count=counts[TRIES + 1 :])
    never = _trigger(expect=(RESUMING,), run_count=["0"], within=timedelta(days=1), threshold=TRIES + 1)
    return [
        lost_runs(),
        _resume("have crashed runs go on", f"Where they stopped, at most {TRIES} times.", crashed, own_api),
        _give_up("give up runs that crash again", f"It crashed {TRIES + 1} times.", again, own_api),
        _give_up("give up runs that cannot begin", "Their processes end before they do.", never, own_api),
    ]


def _resume(words: str, description: str, trigger: EventTrigger, own_api: UUID) -> AutomationCore:
    """Schedule a run again; it is due when it first was, so that it goes before those submitted later."""
    due = '"state_details": {"scheduled_time": {{ flow_run.expected_start_time | string | tojson }}}'
    state = f'"type": "SCHEDULED", "name": "{RESUMING}", {due}'
    return _set_state(words, description, trigger, own_api, state, GOES_ON)


def _give_up(words: str, description: str, trigger: EventTrigger, own_api: UUID) -> AutomationCore:
    return _set_state(words, description, trigger, own_api, '"type": "FAILED", "name": "Failed"', GIVEN_UP)


def _set_state(
    words: str, description: str, trigger: EventTrigger, own_api: UUID, state: str, begins: str
) -> AutomationCore:
    """Set the state of a run, with the message of the state before it as the cause."""
    cause = f'(flow_run.state.message or "") | replace("{GOES_ON}", "")'
    payload = (
        '{"flow_runs": {"id": {"any_": ["{{ flow_run.id }}"]}}, '
        f'"state": {{{state}, "message": {{{{ ("{begins}" ~ ({cause})) | tojson }}}}}}}}'
    )
    return AutomationCore(
        name=f"vacal: {words}",
        description=description,
        trigger=trigger,
        actions=[CallWebhook(block_document_id=own_api, payload=payload)],
    )


def alerts(webhook: UUID, stuck_after: timedelta, late_after: timedelta) -> list[AutomationCore]:
    """Calls of a webhook block for failed, late and stuck runs, and for newer matrices."""
    failed = _trigger(expect=FAILED)
    # One call for a whole queue, and none while the queue only is long.
    late = _trigger(
        after=("Late",),
        expect=("Pending", "Running", "heartbeat"),
        within=late_after,
        for_each="related:deployment:prefect.resource.id",
    )
    stuck = _trigger(after=("Running",), expect=(RESUMING, *ENDED), within=stuck_after)
    newer = _trigger(expect=(NEWER_INVENTORY,))
    begun = f"A run has not ended {_words(stuck_after)} after it began."
    waiting = f"A run is due, and for {_words(late_after)} none of its deployment has begun or given a sign of life."
    return [
        _alert("failed", "has failed", webhook, failed, "A run failed, was refused, or lacks results."),
        _alert("late", "is late", webhook, late, waiting),
        _alert("stuck", "is stuck", webhook, stuck, begun),
        _alert("inventory", "found newer matrices", webhook, newer, "They are stored, and used by no run."),
    ]


def _words(time: timedelta) -> str:
    """A length of time in the largest unit that it is a multiple of; '6 hours'."""
    seconds = round(time.total_seconds())
    size, unit = next((s, u) for s, u in ((3600, "hour"), (60, "minute"), (1, "second")) if seconds % s == 0)
    return amount(seconds // size, unit)


def apply_automations(
    client: SyncPrefectClient, url: str | None, stuck_after: timedelta, late_after: timedelta
) -> list[str]:
    """Put the automations on the server; `url`: the webhook, None for no alerts. Returns their names."""
    wanted = recovery(_own_api())
    if url is not None:
        wanted += alerts(_webhook(BLOCK, url, {}), stuck_after, late_after)
    return [_put(client, automation) for automation in wanted]


def _own_api() -> UUID:
    """The webhook block by which the server sets states through its own API, with its user and password."""
    secret = PREFECT_API_AUTH_STRING.value()
    given = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
    login = {"Authorization": f"Basic {b64encode(given.encode()).decode()}"} if given else {}
    return _webhook(OWN_API_BLOCK, f"{PREFECT_API_URL.value()}/flow_runs/bulk_set_state", login)


def _webhook(name: str, url: str, headers: Mapping[str, str]) -> UUID:
    sent = {"Content-Type": "application/json", **headers}
    block = Webhook.model_validate({"url": url, "method": "POST", "headers": sent})
    return UUID(str(block.save(name, overwrite=True)))


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
    *,
    expect: Sequence[str],
    after: Sequence[str] = (),
    within: timedelta | None = None,
    threshold: int = 1,
    run_count: Sequence[str] = (),
    for_each: str = "prefect.resource.id",
) -> EventTrigger:
    """When one of `expect` happens to a run, `threshold` times within that time.

    With `within` alone: when none does for that long after `after`. `run_count`: how often the run has begun.
    """
    proactive = within is not None and threshold == 1
    return EventTrigger.model_validate(
        {
            "match": {"prefect.resource.id": "prefect.flow-run.*"}
            | ({"prefect.run-count": list(run_count)} if run_count else {}),
            "match_related": OF_THIS_PROJECT,
            "after": {RUN_EVENT + name for name in after},
            "expect": {RUN_EVENT + name for name in expect},
            "for_each": {for_each},
            "posture": Posture.Proactive if proactive else Posture.Reactive,
            "threshold": threshold,
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
