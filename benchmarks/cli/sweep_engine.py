"""The engine that the flags of `sweep` ask for: how many processes, and of how many threads."""

from __future__ import annotations

import os

from benchmarks.errors import UsageError


def of_ray(args) -> tuple:
    """(engine, slots, threads each) of Ray. Raises UsageError without the library or the cluster."""
    from benchmarks import threads
    from benchmarks.engines.ray_ import Ray

    cores = threads.choose(args.threads)
    if args.address and args.jobs:
        raise UsageError("a cluster decides itself how many jobs it does at a time; leave --jobs out, or --address")
    if args.device.startswith("cuda:"):
        raise UsageError("Ray chooses the GPU; write --device cuda")
    jobs = args.jobs or cores
    each = (args.threads or 1) if args.address else max(1, cores // jobs)
    engine = Ray(args.address, jobs * each, each, 3 if args.retries is None else args.retries)
    return engine, engine.slots, each


def of_this_machine(args, plans: list) -> tuple:
    """(engine, slots, threads each) of this machine."""
    from benchmarks import threads
    from benchmarks.engines.local import VISIBLE, Local, assign
    from benchmarks.sweep import groups

    if args.address:
        raise UsageError("--address is of a Ray cluster; add --engine ray")
    cores, device, gpus = threads.choose(args.threads), plans[0].device, 0
    if device.startswith("cuda"):
        import torch

        gpus, device = torch.cuda.device_count(), args.device if args.device.startswith("cuda") else "cuda"
    work = len(groups(plans)) * args.parts
    places = assign(device, gpus, os.environ.get(VISIBLE), args.jobs, cores)[:work]
    each = max(1, cores // len(places))
    return Local(places, each, 1 if args.retries is None else args.retries), len(places), each
