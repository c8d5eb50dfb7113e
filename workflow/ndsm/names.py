"""Names that stand in tables and configurations for what is no method and no plain metric."""

FLOOR = "real"  # the "method" that is held-out data itself
CEILING = "decoded"  # the "method" that is the training data, through the autoencoder

# Prefixes of the metrics of claims (see ``claims``).
MATCH, SECONDS = "size_to_match:", ("seconds_to:", "total_seconds_to:")

# Network evaluations a step of a sampler; of all others one.
PER_STEP = {"heun": 2, "edm": 2}
