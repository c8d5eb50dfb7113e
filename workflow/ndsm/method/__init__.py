"""The method: drifts, noising, objectives, networks, samplers. It reads no files."""
