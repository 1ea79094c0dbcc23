"""What a DICOM study is refused for, by name; those who only catch it need no pydicom."""

from deeppneumonia.errors import StudyError


class MixedPatientsError(StudyError):
    """One path holds images of more than one person."""


class SeveralStudiesError(StudyError):
    """One path holds more than one exam, and nobody said which."""


class WrongModalityError(StudyError):
    """The study holds no CT."""


class MixedSeriesError(StudyError):
    """A series holds slices that do not belong together and cannot be told apart."""


class MissingRescaleError(StudyError):
    """Stored values cannot be turned into HU."""
