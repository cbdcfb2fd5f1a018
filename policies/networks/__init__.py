"""The policy and its critic as plain `nn.Module`s: encoders of observations, and what stands on them."""

from policies.networks.actor_critic import ActorCritic, Heads
from policies.networks.layers import mlp
from policies.networks.memory import Context

__all__ = ["ActorCritic", "Context", "Heads", "mlp"]
