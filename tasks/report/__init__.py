"""The page, the summary and the table that show a published run."""

from tasks.report.page import artifact_table, markdown_summary, overall_verdict, render_report
from tasks.report.write import write_report

__all__ = ["artifact_table", "markdown_summary", "overall_verdict", "render_report", "write_report"]
