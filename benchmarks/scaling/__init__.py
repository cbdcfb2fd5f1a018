"""How sampling grows with the number of env runners, and what the model in docs/scaling.md is made of."""
