"""A teacher who shows how to go right, for docs/teaching.md: one episode in an environment of its own."""

import os
import sys

import numpy as np
from line_walk import LineWalk

from hitl import Piece, TeacherClient

address, run_id = sys.argv[1:]
env, states, actions = LineWalk(), [], []
state, _ = env.reset(seed=0)
for _ in range(100):
    states.append(state)
    actions.append(np.int64(2))
    state, *_ = env.step(actions[-1])
with TeacherClient(address, os.environ["HANDRAIL_TOKEN"]) as teacher:
    shown = Piece(run_id=run_id, observations={"obs": np.stack(states)}, actions=np.stack(actions))
    print(teacher.demonstrate(shown))
