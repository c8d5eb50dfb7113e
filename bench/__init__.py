"""The benchmark: ``make bench``. What is measured and why: README.md beside this file."""
