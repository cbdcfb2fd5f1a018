"""The loop: rollouts, reward, update, weights; and the driver process around it."""
