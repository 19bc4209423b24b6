"""The stages of a calibration: plain functions, and the retryable Prefect tasks that call them."""
