"""The configuration and the plan of the jobs: what the Snakefile imports."""
