"""The loop, the run's folder, checkpoints; knows Method and Recipe, never a concrete one."""
