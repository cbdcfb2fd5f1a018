"""How the reward model learns from what people do instead, in a run file."""

from cluster.runs.section import Positive, Section


class CorrectionsConfig(Section):
    """How the reward model learns from what people do instead, by corrections and with the controls of a stage."""

    alternatives: Positive = 15
    """Other actions that each one is held against, drawn at random where there are too many to look at all: actions
    that are continuous, or of several axes with more than 256 combinations."""
    batch: Positive = 16
    """Corrected states per gradient step."""
