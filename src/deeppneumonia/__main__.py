"""`python -m deeppneumonia`, for where the command is not on the path."""

from deeppneumonia.cli import main

main()
