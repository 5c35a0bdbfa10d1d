"""Words that presets and options choose from: each list is written once, and is its own type."""

from typing import Literal, get_args

Metric = Literal[
    "top_k_accuracy", "mean_class_accuracy", "mean_class_accuracy_labelled", "top1_norm", "any_label_accuracy",
]  # fmt: skip
Stream = Literal["joint", "bone", "joint-motion", "bone-motion"]  # what a network sees of a skeleton
METRICS: tuple[Metric, ...] = get_args(Metric)
STREAMS: tuple[Stream, ...] = get_args(Stream)
