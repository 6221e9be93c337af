"""Train and export `presence`.

    python scripts/train/train_presence.py --cache DIR --out presence.onnx --minutes 22

Needs torch and onnx. The question is: is there a person or vehicle that is NOT part of the background thumbnail? What
the background has fully absorbed is ignored in training: the caller keeps the background slow (time constant >= 30 s),
and lets frames pass while a track lives or the camera has just started.
"""

from __future__ import annotations

import numpy as np
import torch

from cache import CachedClip, read_clips
from evaluate_presence import backgrounds, latency, thumbnails
from fit import Fit, arguments, compare, export
from presence_net import HEIGHT, WIDTH, Presence, loss
from presence_sample import Stream


def held_out(clip: CachedClip) -> torch.Tensor:
    """The held-out thumbnails of a clip with their running background: uint8 (n, 2, 96, 160)."""
    thumbs = thumbnails(clip.frames)
    pairs = np.stack([thumbs, backgrounds(thumbs, clip.times_s, thumbs[0])], 1)
    return torch.from_numpy(pairs[clip.held_out :])


def passing(fit: Fit, clips: dict[str, torch.Tensor]) -> str:
    """Share of held-out frames above 0.5, to follow the training by; nothing is chosen by it."""
    with torch.no_grad():
        shares = {name: (fit.average(x.to(fit.args.device)) > 0.5).float().mean() for name, x in clips.items()}
    return " ".join(f"{name}:{value:.2f}" for name, value in shares.items())


def main() -> None:
    args = arguments(__doc__, minutes=17, batch=48, lr=3e-3, threads=1)
    fit = Fit(Presence, args, decay=2e-3, warmup=100, clip=5.0)
    known = read_clips(args.cache, ("train",)).values()
    clips = {c.name: held_out(c) for c in known if c.labels != "teacher" and c.held_out < len(c.frames)}
    for thumbs, label, target in fit.batches(Stream(args.cache, args.seed, args.exclude)):
        with fit.autocast():
            heat = fit.net.heat(thumbs)
        fit.step(loss(heat, label, target))
        if fit.report_due(every_minutes=2):
            print(fit.status(), passing(fit, clips), flush=True)
    fit.save()
    net = fit.finished()
    examples = torch.randint(0, 256, (16, 2, HEIGHT, WIDTH), dtype=torch.uint8)
    export(net, examples, args.out, ("thumbs", "prob"))
    difference = max(d.max() for d in compare(net, args.out, [examples, examples[:1], examples[:5]]))
    print(f"largest |onnxruntime - torch| {difference:.1e}; {latency(args.out)}")


if __name__ == "__main__":
    main()
