"""The online server: pages, REST and DICOM in front of one store of jobs that are never lost."""
