"""The training loop that every way of teaching a network shares, and what it keeps on disk."""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from napari_mobilesam.core.errors import CheckpointError
from napari_mobilesam.training.processes import (
    as_in_first,
    average_gradients,
    rank_and_count,
    wait_for_all,
)
from napari_mobilesam.training.settings import FitSettings

Score = Callable[[nn.Module], dict[str, float]]
"""Scores a network; its value for "score" decides which weights are kept as the best."""

Write = Callable[[nn.Module, Path, dict[str, str]], None]
"""Writes a network's weights to a safetensors file, with more for its header."""

Batch = TypeVar("Batch")
Batch_co = TypeVar("Batch_co", covariant=True)

Losses = Callable[[int, Batch], Iterable[Tensor]]
"""Losses of one batch, one after the other, so that each can be freed before the next."""

Progress = Callable[[int, int], None]
"""Called with steps done and steps in all."""


BEST = "best"
"""Name of the weights of the best validation in the folder of a run."""


class StepData(Protocol[Batch_co]):
    """Training data as a pure function of the step, which is what makes a resume exact."""

    def __getitem__(self, step: int) -> Batch_co: ...


def fit(
    network: nn.Module,
    data: StepData[Batch],
    losses: Losses[Batch],
    settings: FitSettings,
    folder: Path,
    *,
    write: Write,
    name: str,
    score: Score | None = None,
    progress: Progress | None = None,
    workers: int = 0,
) -> None:
    """Train a network.

    A run goes on from the checkpoint in its folder. It writes ``checkpoint.pt``; ``log.jsonl``,
    a line for each step and validation; ``NAME.safetensors``, the weights averaged over steps,
    with every checkpoint; and ``best.safetensors``, those of the best validation.

    In a :func:`~.processes.process_group`, each process computes a batch of its own in every
    step, and the first alone validates and writes.

    Parameters
    ----------
    network : Module
        What to train, in the mode to train it in; at the end it holds the averaged weights. What
        requires no gradient stays as it is.
    data : StepData
        Gives a batch by its number; a step takes as many as there are processes.
    losses : callable
        Gives the losses of a batch by its number; their mean is minimised.
    settings : FitSettings
        How to train.
    folder : Path
        Where the run is kept; made if need be.
    write : callable
        Writes weights.
    name : str
        Name of the result.
    score : callable, optional
        Scores the averaged network now and then.
    progress : callable, optional
        Called with steps done and steps in all.
    workers : int
        Processes that draw batches; 0 draws them in this one.

    Raises
    ------
    CheckpointError
        If the folder holds a checkpoint that is damaged, unsafe or of another architecture.
    """
    average = AveragedModel(
        network, multi_avg_fn=get_ema_multi_avg_fn(settings.average_decay), use_buffers=True
    )
    optimizer = torch.optim.AdamW(_parameter_groups(network, settings), settings.learning_rate)
    run = Run(folder, network, average, optimizer, write, name)
    rank, count = rank_and_count()
    device = next(network.parameters()).device

    steps = range(run.step, settings.steps)
    numbers = [step * count + rank for step in steps]
    for step, number, batch in zip(steps, numbers, in_order(data, numbers, workers), strict=True):
        share = as_in_first(_share_done(settings, step, run.elapsed()), device)
        if share >= 1:
            break
        rate = settings.learning_rate * _schedule(settings, step, share)
        for group in optimizer.param_groups:
            group["lr"] = rate

        loss = average_gradients(network.parameters(), _accumulate(network, losses(number, batch)))
        norm = nn.utils.clip_grad_norm_(network.parameters(), settings.max_gradient)
        if torch.isfinite(norm):
            optimizer.step()
            average.update_parameters(network)
        optimizer.zero_grad()

        run.step = step + 1
        if rank > 0:
            continue
        run.log({"step": step, "loss": loss, "gradient": float(norm), "rate": rate})
        if score is not None and run.is_due("validation", settings.validation_seconds):
            run.validate(score)
        if run.is_due("checkpoint", settings.checkpoint_seconds):
            run.save()
        if progress is not None:
            progress(run.step, settings.steps)

    if rank == 0:
        if score is not None:
            run.validate(score)
        run.save()
    wait_for_all()
    network.load_state_dict(average.module.state_dict())


class Run:
    """What a run keeps in its folder, and a clock that goes on when the run is resumed.

    Parameters
    ----------
    folder : Path
        Made if need be. If it holds a checkpoint, network, average and optimizer get its state.
    network, average, optimizer
        What is being trained.
    write : callable
        Writes weights.
    name : str
        Name of the result.

    Raises
    ------
    CheckpointError
        If the folder holds a checkpoint that is damaged, unsafe or of another architecture.
    """

    def __init__(
        self,
        folder: Path,
        network: nn.Module,
        average: AveragedModel,
        optimizer: torch.optim.Optimizer,
        write: Write,
        name: str,
    ) -> None:
        self.step = 0
        self._folder = folder
        self._network, self._average, self._optimizer = network, average, optimizer
        self._write, self._name = write, name
        self._best = -math.inf
        self._began = time.monotonic()
        self._done = {"checkpoint": 0.0, "validation": 0.0}
        folder.mkdir(parents=True, exist_ok=True)
        if self._checkpoint.exists():
            self._resume()

    def elapsed(self) -> float:
        """Seconds of training, those before a resume included."""
        return time.monotonic() - self._began

    def is_due(self, what: str, interval: float) -> bool:
        """Whether ``interval`` seconds have passed since this was last true."""
        now = self.elapsed()
        if now - self._done[what] < interval:
            return False
        self._done[what] = now
        return True

    def log(self, entry: dict[str, Any]) -> None:
        """Append a line to the log."""
        line = json.dumps(entry | {"seconds": round(self.elapsed(), 1)})
        with self._log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def validate(self, score: Score) -> None:
        """Score the averaged network, and keep it if it is the best so far."""
        with torch.no_grad():
            scores = score(self._average.module)
        self.log({"step": self.step - 1, "validation": scores})
        if scores["score"] > self._best:
            self._best = scores["score"]
            self._save_average(BEST)

    def save(self) -> None:
        """Write the checkpoint, complete or not at all, and the averaged network."""
        state = {
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "best": self._best,
            "elapsed": self.elapsed(),
            "done": self._done,
        }
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._checkpoint)
        self._save_average(self._name)

    @property
    def _checkpoint(self) -> Path:
        return self._folder / "checkpoint.pt"

    @property
    def _log(self) -> Path:
        return self._folder / "log.jsonl"

    def _save_average(self, name: str) -> None:
        path = self._folder / f"{name}.safetensors"
        self._write(self._average.module, path, {"step": str(self.step)})

    def _resume(self) -> None:
        """Take up the checkpoint; the log forgets what came after it."""
        try:
            state = torch.load(self._checkpoint, map_location="cpu", weights_only=True)
            self._network.load_state_dict(state["network"])
            self._average.load_state_dict(state["average"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.step, self._best, self._done = state["step"], state["best"], state["done"]
            self._began -= state["elapsed"]
        except Exception as error:  # damaged bytes lead to exceptions of any kind
            raise CheckpointError(
                f"{self._checkpoint} cannot be resumed",
                expected="a checkpoint of this training, of the same architecture",
                got=type(error).__name__,
                remedy="Choose an empty folder to start a new run.",
            ) from error
        if rank_and_count()[0] > 0 or not self._log.exists():
            return
        lines = self._log.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if json.loads(line)["step"] < self.step]
        self._log.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def _accumulate(network: nn.Module, losses: Iterable[Tensor]) -> float:
    """Leave the gradient of the losses' mean in the network, and return that mean."""
    values = []
    for loss in losses:
        loss.backward()
        values.append(float(loss.detach()))
    for parameter in network.parameters():
        if parameter.grad is not None:
            parameter.grad /= len(values)
    return sum(values) / len(values)


def _parameter_groups(network: nn.Module, settings: FitSettings) -> list[dict[str, Any]]:
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _share_done(settings: FitSettings, step: int, elapsed: float) -> float:
    """How much of the run is over, by steps or by the clock, whichever is further."""
    by_clock = elapsed / settings.seconds if settings.seconds is not None else 0.0
    return max(step / settings.steps, by_clock)


def _schedule(settings: FitSettings, step: int, progress: float) -> float:
    """Share of the learning rate: linear warm-up, then half a cosine down to the final rate."""
    warmup = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return warmup * (settings.final_rate + (1 - settings.final_rate) * cosine)


def in_half_precision(network: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Parameters and buffers of a network, as they are written to a file: real ones in half."""
    return {
        prefix + name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in network.state_dict().items()
    }


def in_order(data: StepData[Batch], numbers: Sequence[int], workers: int) -> Iterator[Batch]:
    """Get batches by their numbers, drawn by other processes if there are workers."""
    loader: DataLoader[Batch] = DataLoader(
        data,  # type: ignore[arg-type]  # a dataset by its protocol, not by inheritance
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        collate_fn=_unchanged,
    )
    return iter(loader)


def _unchanged(batch: Batch) -> Batch:
    return batch
