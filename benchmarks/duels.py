"""How many comparisons it takes to know the best policy: Double Thompson Sampling beside round-robin.

    python -m benchmarks.duels
    python -m benchmarks.duels --matrices 20 --policies 4

Each bundle has as many random matrices of preferences as `--matrices` says, all with a Condorcet winner:

    ranked     a Bradley-Terry model: logits are differences of normally distributed utilities
    cyclic     the winner is preferred to each other one with probability 0.6 to 0.9, and the others beat each other as
               chance has it
    close      as ranked, with utilities half as far apart

People answer one question after the other by these preferences, and are stopped when the posterior probability of a
Copeland winner reaches `--confidence`, or after `--budget` answers. The figures are the mean number of answers, how
often the right one was named in the end (of all, and of those known within the budget), and the ratio of answers to
round-robin's, each with its bootstrap interval over matrices. Both schedules see the same matrices.
The last line is one JSON object.
"""

import argparse
import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.intervals import interval
from hitl.voting.posterior import copeland_chances
from hitl.voting.schedules import SCHEDULES, Schedule

_STOPPING_DRAWS = 2000


def ranked(policies: int, rng: np.random.Generator, *, spread: float = 1.0) -> NDArray[np.float64]:
    utility = spread * rng.normal(size=policies)
    preference_IJ: NDArray[np.float64] = 1.0 / (1.0 + np.exp(utility[None, :] - utility[:, None]))
    return preference_IJ


def close(policies: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return ranked(policies, rng, spread=0.5)


def cyclic(policies: int, rng: np.random.Generator) -> NDArray[np.float64]:
    preference_IJ = np.full((policies, policies), 0.5)
    for one in range(policies):
        for other in range(one + 1, policies):
            drawn = rng.uniform(0.6, 0.9) if one == 0 else rng.uniform(0.1, 0.9)
            preference_IJ[one, other], preference_IJ[other, one] = drawn, 1.0 - drawn
    shuffled = rng.permutation(policies)
    return preference_IJ[np.ix_(shuffled, shuffled)]


BUNDLES = {"ranked": ranked, "cyclic": cyclic, "close": close}


def answers_needed(
    preference_IJ: NDArray[np.float64], schedule: Schedule, *, confidence: float, budget: int, seed: int
) -> tuple[int, bool]:
    """Return after how many answers asking stops, and whether the policy that is named then is the winner."""
    policies = len(preference_IJ)
    rng = np.random.default_rng(seed)
    wins_IJ, asked_IJ = np.zeros((policies, policies)), np.zeros((policies, policies), np.int64)
    winner = int((preference_IJ > 0.5).sum(1).argmax())
    chance_I = np.zeros(policies)
    while asked_IJ.sum() < 2 * budget and chance_I.max() < confidence:
        one, other = schedule(wins_IJ, asked_IJ, rng)
        if rng.random() >= preference_IJ[one, other]:
            one, other = other, one
        wins_IJ[one, other] += 1
        asked_IJ[one, other] += 1
        asked_IJ[other, one] += 1
        chance_I = copeland_chances(wins_IJ, rng, draws=_STOPPING_DRAWS)
    return int(wins_IJ.sum()), int(chance_I.argmax()) == winner


def bundle_figures(name: str, options: argparse.Namespace) -> dict[str, Any]:
    found = {
        schedule_name: [
            answers_needed(
                BUNDLES[name](options.policies, np.random.default_rng([options.seed, number])),
                schedule,
                confidence=options.confidence,
                budget=options.budget,
                seed=number,
            )
            for number in range(options.matrices)
        ]
        for schedule_name, schedule in SCHEDULES.items()
    }
    figures: dict[str, Any] = {}
    for schedule_name, outcomes in found.items():
        answers, right = (np.array(column, np.float64) for column in zip(*outcomes, strict=True))
        figures[schedule_name] = {
            "answers": _mean(answers),
            "right": _mean(right),
            "right_when_known": _mean(right[answers < options.budget]),
            "out_of_budget": float(np.mean(answers >= options.budget)),
        }
    # A matrix stays with itself when matrices are drawn again, so what is drawn are rows of both numbers.
    both = np.array(list(zip(*([n for n, _ in found[key]] for key in SCHEDULES), strict=True)), np.float64)

    def ratio(groups: Any) -> float:
        (rows,) = groups
        return float(rows[:, 0].mean() / rows[:, 1].mean())

    low, high = interval(ratio, [both])
    figures["ratio"] = [round(ratio([both]), 3), [round(low, 3), round(high, 3)]]
    return figures


def _mean(values: NDArray[np.float64]) -> list[Any] | None:
    if not len(values):
        return None
    low, high = interval(lambda groups: float(groups[0].mean()), [values])
    return [round(float(values.mean()), 3), [round(low, 3), round(high, 3)]]


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundles", nargs="+", choices=BUNDLES, default=list(BUNDLES))
    parser.add_argument("--matrices", type=int, default=100)
    parser.add_argument("--policies", type=int, default=6)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--budget", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    figures: dict[str, Any] = {key: getattr(options, key) for key in ("matrices", "policies", "confidence")}
    for name in options.bundles:
        figures[name] = bundle_figures(name, options)
        print(name, json.dumps(figures[name]), file=sys.stderr, flush=True)
    print(json.dumps({"name": "duels", "goal": None, "figures": figures, "passed": None}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
