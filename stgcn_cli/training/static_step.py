"""Training steps with less work for the host: whole steps as CUDA graphs (--cuda-graph), compiled blocks (--compile).

No GPU has confirmed either of them. Shapes: N clips of a batch, M persons.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from stgcn_cli.data.loader import Clips
from stgcn_cli.errors import UsageError
from stgcn_cli.models.backbone import SIZES_IN_TRAINING
from stgcn_cli.models.deduplicate import computed_bodies
from stgcn_cli.training.options import Learner, RunOptions
from stgcn_cli.training.step import EagerSteps, step

Outputs = tuple[Tensor, Tensor]
Body = Callable[[], Outputs]
Size = tuple[int, int, int]  # clips, bodies that are computed, frames


def check_options(options: RunOptions) -> None:
    """Raise UsageError where --cuda-graph cannot work, and for --compile without a compiler."""
    if options.cuda_graph and options.launch.world > 1:
        raise UsageError("--cuda-graph works in one process only.", "Leave it out, or use one GPU.")
    if options.cuda_graph and options.skip_nonfinite:
        raise UsageError("--skip-nonfinite looks at each loss, which a graph does not show.", "Leave out one of them.")
    compiler = os.environ.get("CXX", "g++")
    if options.compile and shutil.which(compiler) is None:
        raise UsageError(f"--compile needs a C++ compiler; {compiler} was not found.", "Leave out --compile.")


def compile_blocks(model: nn.Module, backend: str = "inductor", most: int | None = None) -> None:
    """Compile each block of the backbone (at most the first `most`) at its first use; the state dict is unchanged."""
    for stages in model.backbone.children():  # type: ignore[union-attr, operator]
        if isinstance(stages, nn.ModuleList):
            for block in stages[:most]:
                block.compile(backend=backend)


class StaticSteps(EagerSteps):
    """Whole steps (gather, forward, backward, update, ranks) over tensors that stay where they are.

    There is a step for each `Size`: its first batch runs as usual, the second is recorded, all later ones replay the recording.
    Learning rate and epoch are tensors on the device, so that they may change between replays.
    """

    def __init__(self, options: RunOptions, learner: Learner, clips: Clips) -> None:
        super().__init__(options, learner, clips)
        device = learner.world.device
        self.recorder = GraphRecorder() if device.type == "cuda" else Recorder()
        self.epoch = torch.zeros((), dtype=torch.int64, device=device)
        self.lr, self.lr_on_device = 0.0, torch.zeros((), device=device)
        self.placed: dict[Size, Tensor] = {}  # clips of the step of this size, (N,)
        self.replays: dict[Size, Body | None] = {}
        self.now: tuple[Size, Tensor] = (0, 0, 0), torch.empty(0)

    def _fetched(self, index: Tensor, placed: Tensor, epoch: int | Tensor) -> None:  # type: ignore[override]
        """Copy the indices into the step's input tensor; the gather itself is part of the step."""
        clips, bodies = self.clips, len(index) * self.clips.starts.shape[1]
        frames = clips.clip_len or int(clips.lengths_on_host[int(index[0]) % len(clips)])
        size = len(index), computed_bodies(bodies, clips.count_absent(index), 2, SIZES_IN_TRAINING), frames
        self.now = size, index
        self.placed.setdefault(size, torch.empty_like(placed)).copy_(placed)
        self.epoch.fill_(epoch)

    def take(self, lr: float) -> Outputs:
        """As `EagerSteps.take`; the tensors returned are not written to by later steps."""
        size, index = self.now
        self.lr = lr
        self.lr_on_device.fill_(lr)

        def body() -> Outputs:
            with self._learning_rate():
                return step(self.learner, super(StaticSteps, self)._fetched(index, self.placed[size], self.epoch))

        is_first = size not in self.replays
        replay = body if is_first else self.replays[size] or self.recorder.record(body)
        self.replays[size] = None if is_first else replay
        return self.recorder.run(replay)

    @contextlib.contextmanager
    def _learning_rate(self) -> Iterator[None]:
        """Set the optimizer's learning rate for one step: the tensor on a GPU. Checkpoints are written outside and hold a number."""
        groups, more = self.learner.state.optimizer.param_groups, self.recorder.optimizer_settings(self.lr_on_device)
        before = [{key: group[key] for key in more if key in group} | {"lr": self.lr} for group in groups]
        for group, kept in zip(groups, before, strict=True):
            group |= kept | {key: value for key, value in more.items() if key in kept}
        try:
            yield
        finally:
            for group, kept in zip(groups, before, strict=True):
                group |= kept


class Recorder:
    """The interface of `GraphRecorder` without graphs: a recording is the step itself. For the CPU and for tests."""

    def optimizer_settings(self, lr: Tensor) -> dict[str, Any]:
        """Settings of the optimizer during a step."""
        return {}

    def run(self, work: Body) -> Outputs:
        """Run `work`; later steps do not write to the tensors returned."""
        return work()

    def record(self, body: Body) -> Body:
        """Return a function that repeats `body`; `body` itself is not executed."""
        return body


class GraphRecorder(Recorder):
    """Record steps as CUDA graphs on a separate stream. All graphs share one memory pool, since only one runs at a time."""

    def __init__(self) -> None:
        self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    def optimizer_settings(self, lr: Tensor) -> dict[str, Any]:
        """The learning rate as a tensor; Adam needs `capturable` while it is recorded."""
        return {"lr": lr} | ({"capturable": True} if torch.cuda.is_current_stream_capturing() else {})

    def run(self, work: Body) -> Outputs:
        """As `Recorder.run`; the results are copies."""
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            loss, ranks = (each.clone() for each in work())
        current.wait_stream(self.stream)
        return loss, ranks

    def record(self, body: Body) -> Body:
        """As `Recorder.record`."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            outputs = body()

        def replay() -> Outputs:
            graph.replay()
            return outputs

        return replay
