"""Which questions teach most: strategies of `reward.questions.strategy` side by side."""
