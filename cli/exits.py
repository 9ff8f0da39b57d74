"""Exit codes; Typer itself uses 0 for success and 2 for wrong usage."""

ERROR = 1
USAGE = 2
TOO_MANY_FAILURES = 3
INTERRUPTED = 130
