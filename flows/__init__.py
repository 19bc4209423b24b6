"""Prefect flows: orchestration only. Everything they call lives in `tasks`."""
