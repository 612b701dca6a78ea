"""Networks of the sciences: ratios of likelihoods, and simulators, which have no parameters."""
