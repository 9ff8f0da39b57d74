"""Models that can be loaded: list, check and int8 calibration."""
