"""One answer as DICOM objects of the source's own study: SR, SEG, pictures and encapsulated PDF."""

from deeppneumonia.reports.dicom.objects import dicom_objects

__all__ = ["dicom_objects"]
