"""What a comparison has found so far, as JSON and in words."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from hitl.voting.posterior import Score, Standings
from hitl.voting.tally import Tally
from hitl.voting.winners import condorcet_winner

Ending = Literal["known", "budget"]
"""Why it is over: the winner is known as surely as was asked for, or there were as many answers as asked for."""


def to_json(
    names: Sequence[str], counted: Tally, known: Standings, *, budget: int, confidence: float, asked: int
) -> dict[str, Any]:
    """Return everything that people are told of a comparison.

    Args:
        names: of the policies.
        counted: the answers.
        known: what they tell.
        budget: answers at most.
        confidence: at which it is over.
        asked: questions so far.
    """
    answers_IJ = counted.answers_IJ
    share_IJ = np.divide(counted.wins_IJ, answers_IJ, out=np.full_like(answers_IJ, 0.5), where=answers_IJ > 0)
    winner = condorcet_winner(share_IJ)
    return {
        "policies": list(names),
        "comparisons": counted.said,
        "budget": budget,
        "asked": asked,
        "ties": counted.ties,
        "skipped": counted.skipped,
        "cannot_tell": counted.cannot_tell,
        "first_preferred": counted.first_preferred,
        "second_preferred": counted.second_preferred,
        "confidence": confidence,
        "condorcet": {
            "winner": None if winner is None else names[winner],
            "probability": _rounded(known.condorcet_chance_I),
            "probability_of_none": round(max(0.0, 1.0 - float(known.condorcet_chance_I.sum())), 4),
        },
        "copeland": _score(names, known.copeland),
        "borda": _score(names, known.borda),
        # A row has how often its policy was preferred to that of each column; a tie is half a win for each.
        "wins": counted.wins_IJ.tolist(),
        "tied": counted.ties_IJ.tolist(),
    }


def _score(names: Sequence[str], score: Score) -> dict[str, Any]:
    return {
        "winner": names[int(score.chance_I.argmax())],
        "probability": _rounded(score.chance_I),
        "score": _rounded(score.score_I),
        "interval": [
            [low, high] for low, high in zip(_rounded(score.low_I), _rounded(score.high_I), strict=True)
        ],
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) for value in values]


def ranking(found: dict[str, Any]) -> list[int]:
    """Return the numbers of the policies, the likeliest Copeland winner first, and the better by Borda where equal."""
    chance, score = found["copeland"]["probability"], found["borda"]["score"]
    return sorted(range(len(chance)), key=lambda number: (-chance[number], -score[number]))


def verdict(found: dict[str, Any]) -> str:
    """Say in one sentence who is preferred."""
    copeland, place = found["copeland"], ranking(found)[0]
    name, chance = found["policies"][place], copeland["probability"][place]
    if not sum(map(sum, found["wins"])):
        return "nobody has preferred anything yet"
    if chance >= found["confidence"]:
        return f"people prefer {name}: it wins with a probability of {said_chance(chance)}"
    return f"not decided: {name} is ahead, and wins with a probability of {said_chance(chance)}"


def said_chance(chance: float) -> str:
    """Write a probability that was counted from draws: never as 0 or 1."""
    if chance > 0.995:
        return "over 99 %"
    return "under 1 %" if chance < 0.005 else f"{chance:.0%}".replace("%", " %")


def condorcet_line(found: dict[str, Any]) -> str:
    """Say who beats every other one by the majority of the answers, and how sure that is."""
    condorcet = found["condorcet"]
    if condorcet["winner"] is None:
        return f"none (there is none with a probability of {said_chance(condorcet['probability_of_none'])})"
    place = found["policies"].index(condorcet["winner"])
    return f"{condorcet['winner']} ({said_chance(condorcet['probability'][place])})"


def said_line(found: dict[str, Any]) -> str:
    """Say how many answers there were of each kind."""
    return (
        f"{found['comparisons']} of at most {found['budget']} answers: {found['first_preferred']} for what was shown "
        f"first, {found['second_preferred']} for the second, {found['ties']} ties, {found['skipped']} skipped, "
        f"{found['cannot_tell']} could not tell"
    )
