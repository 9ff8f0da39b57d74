"""Encoders that learn from a catalogue: tuning, distillation and pruning, each kept only if held-out products gain."""
