"""The library on HTTP, for programs and for people: every route calls what the command line calls."""
