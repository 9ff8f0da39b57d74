"""The command line: read options, call one library function, print the result."""
