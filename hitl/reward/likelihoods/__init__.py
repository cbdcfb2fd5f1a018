"""How likely what people say is, given the reward: one pure function for each kind of feedback."""
