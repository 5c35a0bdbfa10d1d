"""From clips and a checkpoint to logits, metrics, predictions and comparisons."""
