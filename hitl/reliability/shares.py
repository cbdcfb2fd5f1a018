"""Is a share too high? A test that may be looked at after every answer.

Sources: Wald 1945, "Sequential tests of statistical hypotheses", sections 3 and 5 (weights on the alternative); Ville
1939, "Étude critique de la notion de collectif": a likelihood ratio exceeds 1 / alpha with a chance of at most alpha,
ever.
"""

import math

from scipy.special import betainc, betaln


def share_evidence(successes: int, trials: int, *, most: float) -> float:
    """Return the logarithm of the likelihood ratio of a share above `most` to one of exactly that.

    Above, all shares are equally likely. At a lower share than `most` the evidence is weaker still, so whoever is
    within the limit reaches log(1 / alpha) with a chance of at most alpha, however often it is looked at.

    Args:
        successes: trials that count.
        trials: all of them.
        most: the limit, below 1.

    Returns:
        In nats; minus infinity where the ratio is too small for a number.
    """
    failures = trials - successes
    # Of the beta density with these counts, so much lies above the limit.
    above = float(betainc(failures + 1, successes + 1, 1.0 - most))
    if above <= 0.0:
        return -math.inf
    weighed = math.log(above) + float(betaln(successes + 1, failures + 1)) - math.log1p(-most)
    return weighed - successes * math.log(most) - failures * math.log1p(-most)
