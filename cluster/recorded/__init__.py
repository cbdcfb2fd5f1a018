"""Feedback as files: what was said in runs, as Parquet tables that any tool reads and writes."""
