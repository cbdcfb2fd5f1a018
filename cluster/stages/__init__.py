"""Stages: live environments that the newest policy plays for teachers."""
