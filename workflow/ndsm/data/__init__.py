"""The data of the experiments, and which of them a replica trains on."""
