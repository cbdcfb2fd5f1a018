"""The source of truth: runs, segments, questions and the journal in one database, big arrays beside it."""
