"""What both training scripts share: options, schedule, averaged weights, export."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from teacher import session


def arguments(doc: str, minutes: float, batch: int, lr: float, threads: int) -> argparse.Namespace:
    """The command line; the four figures are the defaults of this script."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="what prepare_data.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file; weights go beside it, as .pt")
    parser.add_argument("--minutes", type=float, default=minutes, help="of training: the schedule ends with them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--workers", type=int, default=1, help="processes that make samples; 0: none of their own")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--init", type=Path, help="start from this .pt")
    parser.add_argument("--exclude", nargs="*", default=[], help="training clips to leave out")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    return args


class Fit:
    """A network, its averaged copy, and the optimiser: `for x, ... in fit.batches(stream)`, then `fit.step(loss)`."""

    def __init__(self, net: type[nn.Module], args: argparse.Namespace, decay: float, warmup: int, clip: float) -> None:
        self.args = args
        self.net = net().to(args.device, memory_format=torch.channels_last)
        self.average = net().to(args.device).eval()
        if args.init:
            self.net.load_state_dict(torch.load(args.init, map_location=args.device, weights_only=True))
        self.average.load_state_dict(self.net.state_dict())
        self.steps, self.minutes, self.running = 0, 0.0, 0.0
        self._warmup, self._clip, self._report_at = warmup, clip, 1.0
        self._optimiser = torch.optim.AdamW(self.net.parameters(), args.lr, weight_decay=decay)
        print("parameters", sum(p.numel() for p in self.net.parameters()), flush=True)

    def batches(self, stream: torch.utils.data.IterableDataset) -> Iterator[list[torch.Tensor]]:
        """Batches until the minutes are over, counted from the first one; sets the learning rate of each."""
        workers = self.args.workers
        loader = torch.utils.data.DataLoader(
            stream, self.args.batch, num_workers=workers, prefetch_factor=8 if workers else None
        )
        start: float | None = None
        for batch in loader:
            start = time.monotonic() if start is None else start
            self.minutes = (time.monotonic() - start) / 60
            done = self.minutes / self.args.minutes
            if done >= 1:
                return
            cosine = 0.5 * (1 + math.cos(math.pi * done)) + 0.01
            for group in self._optimiser.param_groups:
                group["lr"] = self.args.lr * min(1, self.steps / self._warmup) * cosine
            self.net.train()
            yield [tensor.to(self.args.device) for tensor in batch]

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.args.device.split(":")[0], torch.bfloat16)

    def step(self, loss: torch.Tensor) -> None:
        """One step down, and the average follows: faster at first, at most 0.998 of it stays."""
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self._clip)
        self._optimiser.step()
        self.steps += 1
        stays = min(0.998, self.steps / (self.steps + 50))
        with torch.no_grad():
            pairs = zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True)
            for kept, new in pairs:
                kept.lerp_(new, 1 - stays) if kept.is_floating_point() else kept.copy_(new)
        self.running = loss.item() if self.steps == 1 else self.running + 0.02 * (loss.item() - self.running)

    def report_due(self, every_minutes: float) -> bool:
        """True about each `every_minutes`, first after one."""
        if self.minutes <= self._report_at:
            return False
        self._report_at += every_minutes
        return True

    def status(self) -> str:
        return f"{self.minutes:5.1f} min, {self.steps * self.args.batch} samples, loss {self.running:.3f}"

    def save(self) -> None:
        torch.save(self.average.state_dict(), self.args.out.with_suffix(".pt"))

    def finished(self) -> nn.Module:
        """The averaged network, ready to export."""
        return self.average.cpu().float().eval().to(memory_format=torch.contiguous_format)


def export(net: nn.Module, example: torch.Tensor, path: Path, names: tuple[str, str]) -> None:
    """Write ONNX, opset 17, dynamic batch."""
    batch = {name: {0: "n"} for name in names}
    torch.onnx.export(
        net,
        (example,),
        str(path),
        opset_version=17,
        input_names=[names[0]],
        output_names=[names[1]],
        dynamic_axes=batch,
        dynamo=False,
    )


def compare(net: nn.Module, path: Path, examples: list[torch.Tensor]) -> list[np.ndarray]:
    """|onnxruntime - torch| of each example."""
    run = session(path)
    name = run.get_inputs()[0].name
    with torch.no_grad():
        return [np.abs(run.run(None, {name: x.numpy()})[0] - net(x).numpy()) for x in examples]
