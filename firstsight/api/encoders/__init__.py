"""Encoders in the Python API: sets of vectors and switches, tuning, distillation, reduced vectors."""
