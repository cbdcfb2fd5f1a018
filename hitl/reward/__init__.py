"""The reward model: likelihoods, the ensemble, how it is fitted and what it makes us ask."""
