"""Figures from one process to another, a line each."""

import json


def say(**figures: float) -> None:
    """Tell whoever started this process."""
    print(json.dumps(figures), flush=True)
