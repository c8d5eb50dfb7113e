"""One module per rule: ``python -m ndsm.stages.train``."""
