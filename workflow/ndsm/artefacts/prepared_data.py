"""What the stage ``data`` is given; the settings of every job after it begin with the same."""

from typing import Any

from ndsm.artefacts.given import Given


class PreparedData(Given):
    """The data of an experiment.

    Attributes:
        experiment: its name.
        dataset: its name and parameters.
        samples: how many points are sampled from each trained model.
        split: ``test``, or ``validation`` in a search for settings.
    """

    experiment: str
    dataset: dict[str, Any]
    samples: int
    split: str
