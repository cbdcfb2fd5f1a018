"""Learning from what an expert does: labels, the loss, behaviour cloning, and who acts while labels are gathered.

DAgger is a loop of these parts: a gate says who acts, the expert's actions become labels, labels of all rounds are
aggregated, and the policy is fitted to them. Axis suffixes: B label or step, O number of a flat observation, A action,
K member of an ensemble, P any leading axes.
"""
