"""Nonlinear denoising score matching: a study of it in rooms, one for each kind of thing.

What a room imports lies in it or in those below: stages; report and study; metrics; data;
artefacts; method; errors and vocabulary.
"""
