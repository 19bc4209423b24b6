"""Prefect flows: orchestration only. Everything they call lives in `tasks`."""

import os

# Read by Prefect when it is imported, and only where the installation has not said otherwise.
os.environ.setdefault("DO_NOT_TRACK", "1")  # no telemetry of the client
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")  # nor of the server
# A first start migrates the database: 10 s on a quiet laptop, longer than Prefect's 20 s on a busy one.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
