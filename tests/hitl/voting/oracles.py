"""Slow versions of what is in `hitl.voting`, in loops, as the papers write them."""

import itertools
import math
from typing import Any


def copeland(preference: Any) -> list[float]:
    scores = []
    for i in range(len(preference)):
        score = 0.0
        for j in range(len(preference)):
            if j != i and preference[i][j] > 0.5:
                score += 1.0
            if j != i and preference[i][j] == 0.5:
                score += 0.5
        scores.append(score / (len(preference) - 1))
    return scores


def borda(preference: Any) -> list[float]:
    scores = []
    for i in range(len(preference)):
        total = 0.0
        for j in range(len(preference)):
            if j != i:
                total += preference[i][j]
        scores.append(total / (len(preference) - 1))
    return scores


def condorcet(preference: Any) -> int | None:
    for i in range(len(preference)):
        if all(preference[i][j] > 0.5 for j in range(len(preference)) if j != i):
            return i
    return None


def chance_above_half(wins: int, losses: int) -> float:
    """P(Beta(wins + 1, losses + 1) > 1/2): so many of wins + losses + 1 coins fall on at most `wins` heads."""
    coins = wins + losses + 1
    return sum(math.comb(coins, heads) for heads in range(wins + 1)) / 2**coins


def winner_chances(wins: Any) -> tuple[list[float], list[float]]:
    """The probability of each to be the Condorcet winner, and to be the Copeland winner (ties shared)."""
    policies = len(wins)
    pairs = list(itertools.combinations(range(policies), 2))
    condorcet_chance, copeland_chance = [0.0] * policies, [0.0] * policies
    for outcome in itertools.product((True, False), repeat=len(pairs)):
        probability, beaten = 1.0, [0] * policies
        for (i, j), i_beats in zip(pairs, outcome, strict=True):
            chance = chance_above_half(int(wins[i][j]), int(wins[j][i]))
            probability *= chance if i_beats else 1.0 - chance
            beaten[i if i_beats else j] += 1
        best = [i for i in range(policies) if beaten[i] == max(beaten)]
        for i in best:
            copeland_chance[i] += probability / len(best)
            if beaten[i] == policies - 1:
                condorcet_chance[i] += probability
    return condorcet_chance, copeland_chance


def bounds(wins: Any, *, alpha: float, t: int) -> tuple[list[list[float]], list[list[float]]]:
    """Algorithm 1 of D-TS, lines 4 and 5; x/0 is 1 for any x."""
    policies = len(wins)
    upper = [[0.5] * policies for _ in range(policies)]
    lower = [[0.5] * policies for _ in range(policies)]
    for i in range(policies):
        for j in range(policies):
            if i == j:
                continue
            count = wins[i][j] + wins[j][i]
            share = wins[i][j] / count if count else 1.0
            spread = alpha * math.log(t) / count if count else 1.0
            upper[i][j] = share + math.sqrt(spread)
            lower[i][j] = share - math.sqrt(spread)
    return upper, lower


def first_candidates(upper: Any, theta: Any) -> list[int]:
    """Algorithm 1 of D-TS, lines 6 to 12; all that a tie is broken among."""
    policies = len(upper)
    zeta = [
        sum(upper[i][j] > 0.5 for j in range(policies) if j != i) / (policies - 1) for i in range(policies)
    ]
    candidates = [i for i in range(policies) if zeta[i] == max(zeta)]
    beaten = {i: sum(theta[i][j] > 0.5 for j in range(policies) if j != i) for i in candidates}
    return [i for i in candidates if beaten[i] == max(beaten.values())]


def second_candidates(lower: Any, theta: Any, first: int) -> list[int]:
    """Algorithm 1 of D-TS, lines 14 and 15, without the first one; all others where no pair is uncertain."""
    others = [i for i in range(len(lower)) if i != first]
    uncertain = [i for i in others if lower[i][first] <= 0.5] or others
    best = max(theta[i][first] for i in uncertain)
    return [i for i in uncertain if theta[i][first] == best]
