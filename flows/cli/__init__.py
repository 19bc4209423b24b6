"""The command `vacal`."""
