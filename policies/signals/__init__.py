"""Learning a policy from signals, plus or minus, about steps that it was seen to take.

A reading says what a signal tells: `advantage` (COACH) and `return` are about the policy that acted, carry its version
and expire; `regret` is about the best policy and stays. The fourth reading, `reward` (TAMER), is the reward model's.
Axis suffixes: S signal, L step that a signal may be about, O number of a flat observation, A action.
"""
