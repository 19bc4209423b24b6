"""Files that users give: found at their addresses and read in a stream."""

from tasks.sources.find import Addresses, find_files
from tasks.sources.read import OPEN_QUOTE, Batch, FileReader, inline_batches

__all__ = ["OPEN_QUOTE", "Addresses", "Batch", "FileReader", "find_files", "inline_batches"]
