"""Learning rates as pure functions of the epoch."""

from stgcn_cli.config import OptimConfig


def learning_rate(optim: OptimConfig, epoch: int) -> float:
    """The rate of a 0-based epoch: `lr` times `gamma` for every step reached (step 10 = from the 11th epoch on)."""
    return optim.lr * optim.gamma ** sum(step <= epoch for step in optim.steps)
