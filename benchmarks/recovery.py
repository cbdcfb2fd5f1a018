"""Whether the reward, and how much teachers look at it, is recovered from what they say, kind by kind and all together.

    python -m benchmarks.recovery --seeds 10
    python -m benchmarks.recovery --seeds 10 --hidden 32 32

A hidden reward of states and actions; two teachers who look at it very differently, and speak by the models of the
papers, which are written here anew: Davidson's comparisons, Plackett-Luce rankings by Gumbel noise, ordinal ratings
with cut points of their own, signals with normal noise, corrections and demonstrations by Boltzmann rationality, and
goals by a logistic classifier. What they say goes through the same journal entries as a run's. Reported are Kendall's
tau between true and learnt returns of fresh segments (for corrections, which say nothing of states, of what the
actions are worth beside the others), and how often the 95 % interval of a teacher's rationality holds the true one
(relative to both teachers': so in one kind both intervals do, or neither).
No environment, no clock. The last line is one JSON object.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau

from benchmarks.intervals import interquartile_mean, interval
from benchmarks.journal import Said, entry_of
from cluster.feedback.evidence import online_model
from cluster.runs.reward.config import RewardConfig
from hitl.events import (
    Choice,
    Comparison,
    Demonstration,
    Goal,
    Ranking,
    Rating,
    Relabel,
    Segment,
    Showing,
    Signal,
    StepAddress,
)
from hitl.reward.evidence.demonstrations import Demonstrations
from hitl.reward.online import OnlineRewardModel
from policies.threads import use_threads

ACTIONS, STEPS, FITS, FRESH = 3, 8, 6, 300
OBSERVATIONS = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
RATIONALITY = {"ann": 2.0, "bob": 0.6}
SAID = {
    "comparisons": 400, "rankings": 200, "ratings": 400, "signals": 400, "corrections": 400, "demonstrations": 300,
    "goals": 400,
}  # fmt: skip
"""Statements of both teachers together; for all together, a seventh of each."""
_TIE, _AGAINST = 0.4, 15
_SIGNAL_PER_REWARD, _NOISE = 0.1, 0.15
"""So small that signals hardly ever reach the ends of what may be said: cut off there, noise is not normal."""
_OFFERED, _SHOWN_BY = 2000, 0.25
"""A demonstration is one of so many, in proportion to exp of this times rationality and return."""
_CUTS = {"ann": np.array([-6.0, -3.0, 0.0, 3.0, 6.0]), "bob": np.array([-4.0, -2.0, 1.0, 5.0, 8.0])}
LINEAR_LEARNING_RATE, NETWORK_LEARNING_RATE = 3e-2, 3e-3
MODEL = {
    "members": 5,
    "weight_decay": 1e-3,
    "heldout_share": 0.05,
    "lapse": 0.0,
    "teachers": {"weighted": True, "spread": 1.0, "most_weight": 5.0},
}


def reward(observation_LO: NDArray[Any], action_L: NDArray[Any]) -> NDArray[np.float64]:
    """The hidden one, [L]."""
    state = np.asarray(observation_LO, np.float64)
    worth: NDArray[np.float64] = state[:, 0] - 0.6 * state[:, 1] + 0.7 * (action_L - 1)
    return worth


class People:
    """Two teachers who say things about random segments."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._number = itertools.count()

    def segment(self, *, shown: bool = False, steps: int = STEPS) -> Segment:
        """Return a segment of a policy that does anything."""
        number = next(self._number)
        # On a stage each frame lies a second after the one before: a signal is about one step.
        showing = Showing(
            stage_id="stage",
            first_frame=number * 100 + 1,
            seconds=number * 100.0 + np.arange(1.0, steps + 1),
            policy_versions=np.ones(steps, np.int64),
        )
        return Segment(
            segment_id=f"s{number}",
            address=StepAddress(
                task_id="task", run_id="run", source="random", episode=number, begin=0, end=steps
            ),
            observations={"obs": self._rng.standard_normal((steps, 3), np.float32)},
            actions=self._rng.integers(0, ACTIONS, steps),
            policy_version=1,
            showing=showing if shown else None,
        )

    def say(self, kind: str, teacher: str) -> Said:
        """Let a teacher say something of this kind."""
        said: Callable[[str, dict[str, Any]], Said] = getattr(self, f"_{kind}")
        return said(teacher, {"run_id": "run", "event_id": f"e{next(self._number)}"})

    def _one_of(self, log_odds: NDArray[np.float64]) -> int:
        """Draw in proportion to exp(log_odds), by Gumbel noise."""
        return int(np.argmax(log_odds + self._rng.gumbel(size=len(log_odds))))

    def _comparisons(self, teacher: str, ids: dict[str, Any]) -> Said:
        pair = [self.segment(), self.segment()]
        margin = RATIONALITY[teacher] * (worth(pair[0]) - worth(pair[1]))
        place = self._one_of(np.array([margin / 2, -margin / 2, np.log(_TIE)]))
        choice = (Choice.FIRST, Choice.SECOND, Choice.TIE)[place]
        return Comparison(question_id=ids["event_id"], choice=choice, **ids), pair

    def _rankings(self, teacher: str, ids: dict[str, Any]) -> Said:
        some = [self.segment() for _ in range(4)]
        noisy = [RATIONALITY[teacher] * worth(s) + self._rng.gumbel() for s in some]
        ranks = tuple(1 + sum(other > mine for other in noisy) for mine in noisy)
        return Ranking(question_id=ids["event_id"], ranks=ranks, **ids), some

    def _ratings(self, teacher: str, ids: dict[str, Any]) -> Said:
        one = self.segment()
        latent = worth(one) + self._rng.logistic() / RATIONALITY[teacher]
        rating = 1 + int((latent > _CUTS[teacher]).sum())
        return Rating(question_id=ids["event_id"], rating=rating, points=6, **ids), [one]

    def _signals(self, teacher: str, ids: dict[str, Any]) -> Said:
        one = self.segment(shown=True)
        step = int(self._rng.integers(STEPS))
        mean = _SIGNAL_PER_REWARD * rewards(one)[step]
        value = float(np.clip(mean + self._rng.normal(0, _NOISE / RATIONALITY[teacher]), -1, 1))
        assert one.showing is not None
        frame = one.showing.first_frame + step
        # Half a second after what the step led to was shown.
        return Signal(stage_id="stage", frame=frame, value=value, offset=timedelta(seconds=0.9), **ids), [one]

    def _corrections(self, teacher: str, ids: dict[str, Any]) -> Said:
        one = self.segment(steps=1)
        choices = np.arange(ACTIONS)
        worths = reward(np.repeat(np.asarray(one.observations["obs"]), ACTIONS, 0), choices)
        action = np.array(self._one_of(RATIONALITY[teacher] * worths))
        return Relabel(question_id=ids["event_id"], step=0, answer=action, **ids), [one]

    def _demonstrations(self, teacher: str, ids: dict[str, Any]) -> Said:
        observation_NLO = self._rng.standard_normal((_OFFERED, STEPS, 3), np.float32)
        action_NL = self._rng.integers(0, ACTIONS, (_OFFERED, STEPS))
        worth_N = reward(observation_NLO.reshape(-1, 3), action_NL.ravel()).reshape(_OFFERED, STEPS).sum(1)
        best = self._one_of(_SHOWN_BY * RATIONALITY[teacher] * worth_N)
        shown = replace(self.segment(), observations={"obs": observation_NLO[best]}, actions=action_NL[best])
        event = Demonstration(episode=shown.address.episode, begin=0, end=STEPS, digest=bytes(32), **ids)
        return event, [shown]

    def _goals(self, teacher: str, ids: dict[str, Any]) -> Said:
        one, step = self.segment(), int(self._rng.integers(STEPS))
        log_odds = RATIONALITY[teacher] * (rewards(one)[step] - 0.5)
        reached = self._one_of(np.array([0.0, log_odds])) == 1
        return Goal(question_id=ids["event_id"], step=step, reached=reached, **ids), [one]


def rewards(segment: Segment) -> NDArray[np.float64]:
    """The hidden reward of each step."""
    return reward(segment.observations["obs"], np.asarray(segment.actions))


def worth(segment: Segment) -> float:
    """The hidden return of a segment."""
    return float(rewards(segment).sum())


def taught(
    kinds: dict[str, int], people: People, seed: int, hidden: Sequence[int] = ()
) -> tuple[OnlineRewardModel, Any]:
    """Return a reward model that has heard so many statements of each kind, and its last report."""
    learning_rate = NETWORK_LEARNING_RATE if hidden else LINEAR_LEARNING_RATE
    config = RewardConfig.model_validate(
        {
            "model": {**MODEL, "hidden": list(hidden), "learning_rate": learning_rate},
            "questions": {"segment_steps": STEPS},
            "signals": {
                "baseline": "none",
                "delay": {"density": "uniform", "shortest_seconds": 0.0, "longest_seconds": 0.8},
                "smallest_share": 0.0,
            },
            "demonstrations": {"alternatives": _AGAINST},
        }
    )
    model = online_model(config, OBSERVATIONS, gym.spaces.Discrete(ACTIONS), seed=seed)
    probe = [people.segment() for _ in range(FRESH)]
    model.set_probe(
        np.concatenate([np.asarray(s.observations["obs"]) for s in probe]),
        np.concatenate([np.asarray(s.actions) for s in probe]),
    )
    own = model.evidence["demonstrations"]
    assert isinstance(own, Demonstrations)
    own.show_own(people.segment() for _ in range(FRESH))
    names = list(RATIONALITY)
    for kind, count in kinds.items():
        for number in range(count):
            event, segments = people.say(kind, names[number % len(names)])
            offset = int(event.event_id[1:])
            model.take(entry_of(event, names[number % len(names)], segments, offset=offset), segments)
    report = None
    for _ in range(FITS):
        report = model.fit(is_first=report is None)
    return model, report


@torch.no_grad()
def tau(model: OnlineRewardModel, people: People, *, of_actions: bool = False) -> float:
    """Kendall's, between true and learnt returns of fresh segments.

    `of_actions`: of what the actions are worth beside the others in their states, which is all that corrections tell.
    """
    fresh = [people.segment() for _ in range(FRESH)]
    state_PO = np.concatenate([np.asarray(s.observations["obs"]) for s in fresh])
    action_P = np.concatenate([np.asarray(s.actions) for s in fresh])
    learnt_PC = model.ensemble.of_actions(torch.from_numpy(state_PO), torch.arange(ACTIONS)).double().numpy()
    true_PC = np.stack([reward(state_PO, np.full(len(state_PO), action)) for action in range(ACTIONS)], 1)
    returns = []
    for worth_PC in (learnt_PC, true_PC):
        worth_P = worth_PC[np.arange(len(action_P)), action_P] - of_actions * worth_PC.mean(1)
        returns.append(worth_P.reshape(FRESH, STEPS).sum(1))
    return float(kendalltau(*returns).statistic)


def held(report: Any) -> Iterator[tuple[str, bool]]:
    """Whether each teacher's interval holds the true relative rationality, with the kind."""
    for kind, told in report.kinds.items():
        pieces = {name: one.pieces for name, one in told.teachers.items()}
        mean = sum(RATIONALITY[name] * count for name, count in pieces.items()) / sum(pieces.values())
        for name, one in told.teachers.items():
            yield kind, one.low <= RATIONALITY[name] / mean <= one.high


def main() -> None:
    """Measure, and print a table and one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=[*SAID, "all"])
    parser.add_argument(
        "--hidden", type=int, nargs="*", default=[], help="units of each hidden layer; none: a linear reward"
    )
    arguments = parser.parse_args()
    use_threads(1)
    everything: dict[str, Any] = {}
    for kind in arguments.kinds:
        kinds = {kind: SAID[kind]} if kind != "all" else {k: n // len(SAID) for k, n in SAID.items()}
        taus, inside, begun = [], [], time.perf_counter()
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            people = People(seed)
            model, report = taught(kinds, people, seed, arguments.hidden)
            taus.append(tau(model, people, of_actions=kind == "corrections"))
            inside += [holds for _, holds in held(report)]
        low, high = interval(interquartile_mean, [np.array(taus)])
        everything[kind] = {
            "statements": sum(kinds.values()),
            "tau": round(interquartile_mean([np.array(taus)]), 3),
            "tau_interval": [round(low, 3), round(high, 3)],
            "rationality_in_interval": round(float(np.mean(inside)), 3) if inside else None,
            "intervals": len(inside),
            "seconds": round(time.perf_counter() - begun, 1),
        }
        print(f"{kind:15} {everything[kind]}", flush=True)
    print(json.dumps({**vars(arguments), "benchmark": "recovery", "kinds": everything}))


if __name__ == "__main__":
    main()
