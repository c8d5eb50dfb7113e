"""Verdicts, summaries, documents and figures, from the tables of a study."""
