"""The policy and its critic as plain `nn.Module`s: encoders of observations, and what stands on them."""

from policies.networks.actor_critic import ActorCritic
from policies.networks.layers import mlp

__all__ = ["ActorCritic", "mlp"]
