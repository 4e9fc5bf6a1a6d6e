"""The networks of the experiments. Only what makes a model imports torch; data does not need it."""
