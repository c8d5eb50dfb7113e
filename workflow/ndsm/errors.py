"""What the parts of the study refuse."""


class Refused(ValueError):
    """Input that cannot be used; the message is one line: what, its value, and the remedy."""
