"""Running moments, and what is brought to unit scale by them: observations, rewards, and the critic's targets."""
