"""Lightning's face of a run: the strategy, its settings, what lives for one fit and for one step."""
