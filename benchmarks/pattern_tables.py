"""Rendering with pattern tables against dense modulation, same generator, same stacks, one core.

    python benchmarks/pattern_tables.py [--subjects 2] [--repeats 3]

Stacks are virtual hearts, nine tissues, ED and ES together. The renderers are timed in turns within one run, by CPU
time of the calling thread; what counts is the ratio, since milliseconds move with the machine. `module` is the plain
generator in evaluation mode, slice pairs, channels last. The last column shows that nothing but rounding differs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from synthgen.cohorts.preprocess import prepare
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import Phase
from synthgen.networks.initialise import initialise
from synthgen.networks.pattern_tables import SpadeRenderer
from synthgen.networks.spade import SpadeGenerator
from synthgen.seeding import Stage, torch_stream

Render = Callable[[Tensor, Tensor, Tensor], Tensor]


def stacks(count: int) -> list[Tensor]:
    """Return the label stacks `(N, 128, 128)` of `count` virtual hearts, both phases of a subject in one stack."""
    subjects = [prepare(subject) for subject in VirtualHearts(count)]
    return [torch.from_numpy(np.concatenate([s.labels[phase] for phase in Phase])) for s in subjects]


def plain(generator: SpadeGenerator) -> Render:
    """Return the module itself as a renderer, two slices at a time."""

    @torch.inference_mode()
    def render(labels: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        pairs = [slice(i, i + 2) for i in range(0, len(labels), 2)]
        return torch.cat([generator(labels[p], style.expand(len(labels[p]), -1), noise[p])[:, 0] for p in pairs])

    return render


def row(hidden: int, labels: list[Tensor], repeats: int) -> str:
    """Return one line of the table: milliseconds per slice of the three renderers, ratios, largest difference."""
    generator = initialise(SpadeGenerator(hidden=hidden), torch_stream(0, stage=Stage.WEIGHTS)).eval()
    style = torch.randn(generator.style_dim, generator=torch_stream(1))
    renderers: dict[str, Render] = {
        "tables": SpadeRenderer(generator).render,
        "dense": SpadeRenderer(generator, tables=False).render,
        "module": plain(generator),
    }
    best = dict.fromkeys(renderers, float("inf"))
    difference = 0.0
    for _ in range(repeats):
        spent = dict.fromkeys(renderers, 0.0)
        for number, stack in enumerate(labels):
            noise = torch.randn(len(stack), 1, *stack.shape[1:], generator=torch_stream(2, number))
            images = {}
            for name, render in renderers.items():
                started = time.thread_time()
                images[name] = render(stack, style, noise)
                spent[name] += time.thread_time() - started
            difference = max(difference, float((images["tables"] - images["module"]).abs().max()))
        best = {name: min(best[name], spent[name]) for name in renderers}
    slices = sum(len(stack) for stack in labels)
    per_slice = {name: 1000 * seconds / slices for name, seconds in best.items()}
    ratios = " ".join(f"{per_slice[name] / per_slice['tables']:>6.2f}x" for name in ("dense", "module"))
    times = " ".join(f"{per_slice[name]:>8.1f}" for name in renderers)
    return f"{hidden:>6} {times} {ratios} {difference:>9.1e}"


def main() -> None:
    """Measure hidden widths 32 (shipped) and 128 (papers)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    labels = stacks(arguments.subjects)
    print(f"{len(labels)} stacks, {sum(map(len, labels))} slices of 128 x 128; ms per slice and core")
    print(f"{'hidden':>6} {'tables':>8} {'dense':>8} {'module':>8} {'dense':>7} {'module':>7} {'max diff':>9}")
    for hidden in (32, 128):
        print(row(hidden, labels, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
