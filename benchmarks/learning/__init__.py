"""How well PPO learns beside Stable-Baselines3's; see `__main__`."""
