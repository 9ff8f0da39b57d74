"""`python -m firstsight` is the command line."""

from firstsight.cli.main import main

main()
