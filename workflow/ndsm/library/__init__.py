"""The method for one's own data, in scikit-learn's manner: ``from ndsm import NDSM``."""
