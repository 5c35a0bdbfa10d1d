"""Where and how fast a run computes: devices, precision, processes, memory."""

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "tf32", "bf16", "float64")
