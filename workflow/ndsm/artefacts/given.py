"""What a job is given, as its ``--spec`` has it, as a model: a wrong or missing key is refused."""

import reprlib
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ndsm.errors import Refused

WRONG = {"missing": "is missing", "extra_forbidden": "is unknown"}

Number = int | float  # stays what it is: 1 is not written as 1.0


class Given(BaseModel):
    """Settings that do not change, and that have no other keys than these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Self:
        """The model of what a job is given.

        Raises:
            Refused: a key is unknown or missing, or its value is of the wrong kind.
        """
        try:
            return cls.model_validate(spec)
        except ValidationError as problem:
            said = ", ".join(
                f"{'.'.join(map(str, error['loc']))} "
                + WRONG.get(error["type"], f"is {reprlib.repr(error['input'])}: {error['msg']}")
                for error in problem.errors()
            )
            remedy = "give it as the command in the log has it, or run Snakemake again"
            raise Refused(f"--spec: {said}; {remedy}") from None

    def as_dict(self) -> dict[str, Any]:
        """As a job is given it: without what is left out."""
        return self.model_dump(exclude_unset=True)
