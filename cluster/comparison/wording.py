"""What a comparison has found, as people read it: of the JSON that `standings.to_json` makes."""

from typing import Any


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
