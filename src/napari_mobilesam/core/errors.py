"""The errors that a user can meet, each carrying what was expected, what came and what to do."""


class MobileSAMError(Exception):
    """Base of every error that this package raises on purpose.

    Parameters
    ----------
    problem : str
        What went wrong, in one clause.
    expected : str, optional
        What would have been accepted.
    got : str, optional
        What came instead.
    remedy : str, optional
        What the user can do about it, as a full sentence.
    """

    def __init__(
        self, problem: str, *, expected: str = "", got: str = "", remedy: str = ""
    ) -> None:
        self.problem = problem
        self.expected = expected
        self.got = got
        self.remedy = remedy
        super().__init__(problem)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes with all parts."""
        return type(self), (self.problem,), vars(self)

    def __str__(self) -> str:
        message = self.problem
        if self.expected:
            message += f": expected {self.expected}"
        if self.got:
            message += f"{',' if self.expected else ':'} got {self.got}"
        return f"{message}. {self.remedy}" if self.remedy else f"{message}."


class ImageError(MobileSAMError, ValueError):
    """An image whose shape, type or content cannot be segmented."""


class PromptError(MobileSAMError, ValueError):
    """A point, box or mask prompt that the decoder cannot use."""


class SettingsError(MobileSAMError, ValueError):
    """A setting outside its range, or a combination that makes no sense."""


class UnknownModelError(MobileSAMError, LookupError):
    """A model name that the zoo does not hold and that is no file either."""


class CheckpointError(MobileSAMError, ValueError):
    """A weights file that is damaged, unsafe or made for another architecture."""


class DownloadError(MobileSAMError, OSError):
    """A download that could not be completed."""


class HashMismatchError(DownloadError):
    """A file whose content is not what its card promises."""


class FileFormatError(MobileSAMError, ValueError):
    """A file that cannot be read, or a format that cannot hold what should be written."""


class LabelsFullError(MobileSAMError, OverflowError):
    """A label image whose type has no value left for another object."""


class OutOfMemoryError(MobileSAMError, MemoryError):
    """Work for which the memory does not suffice even in the smallest portions."""


class CancelledError(MobileSAMError):
    """Work that the user stopped."""
