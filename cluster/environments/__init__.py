"""Environments that step together: made from a run file, checked, watched over, and named by a fingerprint."""
