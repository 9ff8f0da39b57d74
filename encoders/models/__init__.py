"""The list of models; download, check and int8 calibration of one model."""
