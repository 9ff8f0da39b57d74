"""Training of the `starter` encoder's bridge: `python -m firstsight.encoders.training --help`."""
