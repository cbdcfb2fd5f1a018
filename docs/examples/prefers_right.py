"""A teacher in ten lines, for docs/teaching.md: prefers to see the first number of the observation high."""

import os
import sys

from hitl import Choice, TeacherClient

address, run_id = sys.argv[1:]
with TeacherClient(address, os.environ["HANDRAIL_TOKEN"]) as teacher:
    for question in teacher.questions(run_id, wait_seconds=30):
        first, second = (segment.observations["obs"][:, 0].mean() for segment in question.segments)
        question.answer(Choice.FIRST if first > second else Choice.SECOND)
