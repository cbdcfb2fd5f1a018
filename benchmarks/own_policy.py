"""Our side of a learning benchmark: an algorithm on the environment's reward, and the policy that it has now."""

import copy
from typing import Any

from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.runs.config import RunConfig
from policies.networks import ActorCritic


def on_true_reward(env_id: str, *, seed: int, env_steps: int, tree: dict[str, Any]) -> HITL:
    """Build an algorithm that nobody teaches, on the CPU; `tree` is the rest of its run file."""
    run = {
        "environment": {"id": env_id},
        "reward": {"sources": {"environment": 1.0, "learned": 0.0}},
        **tree,
        "seed": seed,
        "stop": {"env_steps": env_steps},
        "learner": {"device": "cpu", **tree["learner"]},
    }
    algorithm: HITL = HITLConfig.from_run(RunConfig.model_validate(run)).build_algo()
    return algorithm


def policy_of(algorithm: HITL) -> ActorCritic:
    """Return a copy of the network as it stands."""
    (answer,) = algorithm.learner_group.foreach_learner(lambda learner: copy.deepcopy(learner.network))
    network: ActorCritic = answer.get()
    return network
