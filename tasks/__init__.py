"""The stages of a calibration: plain functions, and the retryable Prefect tasks that call them."""

import os

# Read by pyarrow when it is imported, and only where the installation has not said otherwise: the system's
# own allocator is as fast here, and gives memory back.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
