"""Export of encoders for other programs: graphs, tokeniser, preprocessing rules and a parity check."""
