"""Runtimes of dual encoders: PyTorch and OpenVINO, and the choice between them."""
