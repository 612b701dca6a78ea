"""The trainer: step, sharding, optimisers, checkpoints, loop, log."""
