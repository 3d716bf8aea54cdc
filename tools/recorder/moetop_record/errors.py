"""What is said when something cannot be recorded: what happened, what was expected, what was found, and what to try."""


class RecordError(ValueError):
    """A mistake that the caller can mend.

    what: the thing that is wrong, such as "router ffn.3". expected, found: both sides. advice: what to try, or None.
    """

    def __init__(self, what: str, expected: str, found: str, advice: str | None = None):
        self.what, self.expected, self.found, self.advice = what, expected, found, advice
        super().__init__(f"{what}: expected {expected}, found {found}" + (f"; try: {advice}" if advice else ""))


class CaptureWarning(UserWarning):
    """A trace that may not be what the model did: a capture check failed, or something was left out."""


def require(holds: bool, what: str, expected: str, found, advice: str | None = None) -> None:
    """Raises RecordError unless `holds`."""
    if not holds:
        raise RecordError(what, expected, str(found), advice)
