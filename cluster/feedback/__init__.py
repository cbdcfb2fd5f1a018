"""The cluster's side of the feedback service: questions out, answers in, and the reward versions that come of them."""
