"""How long the server waits for an event's predecessor before its automations see it: read by the server alone.

Prefect waits for 15 minutes, and a server that was restarted waits so for events that came before: a run that crashes
after a restart would go on after 15 minutes only, and an alert would be as late. Here it is ten seconds; what waits is
in the database, not in memory. Set by PREFECT_SERVER_EVENTS_CAUSAL_ORDERING in deployments/prefect.env.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.server.events.ordering import db
from prefect.server.events.ordering.db import CausalOrdering

__all__ = ["CausalOrdering"]

db.PRECEDING_EVENT_LOOKBACK = timedelta(seconds=10)  # type: ignore[attr-defined]
