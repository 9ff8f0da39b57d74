"""Training the bridge of the `starter` encoder again: `python -m firstsight.encoders.training --help`."""
