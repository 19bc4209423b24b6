"""Files that users give: found at their addresses and read in a stream."""

from tasks.sources.find import every_file, find_files
from tasks.sources.read import OPEN_QUOTE, Batch, FileReader, inline_batches

__all__ = ["OPEN_QUOTE", "Batch", "FileReader", "every_file", "find_files", "inline_batches"]
