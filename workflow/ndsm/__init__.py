"""Nonlinear denoising score matching: one module per stage of the study, and what they share."""
