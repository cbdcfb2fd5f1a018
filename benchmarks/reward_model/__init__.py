"""What the reward model costs: a refresh, a version, a batch relabelled."""
