"""The engine of a Ray cluster, or of a Ray on this machine that is begun for the sweep. Ray is imported when it is asked for."""

from __future__ import annotations

import logging
import math
import os
from typing import Any

from benchmarks.engines import Ended, Job, call, in_a_line
from benchmarks.errors import RunFailed, UsageError

log = logging.getLogger("benchmarks")
OBJECTS = 128 * 2**20  # bytes of object store of a Ray begun here: what passes through it are names and small results
CONTEXT_MB, HEADROOM = 600, 1.2  # of a process's CUDA context, and over what was measured: torch reserves more than it holds
PASSED_ON = ("CHANSWAP_HOME", "CHANSWAP_STORE", "CHANSWAP_LOCKS", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")


def library():
    """Ray itself. Raises UsageError with the line that installs it."""
    try:
        import ray
    except ImportError:
        raise UsageError(
            "--engine ray needs the library ray, which is not installed; run: pip install 'chanswap[ray]', or in a checkout: pip install ray"
        ) from None
    return ray


def share(memory_mb: float | None, gpu_mb: float | None) -> float:
    """The part of a GPU that a job asks for: 1/k where k of its kind fit beside each other, by what was measured; else a whole one."""
    if not memory_mb or not gpu_mb:
        return 1.0
    return 1 / max(1, math.floor(gpu_mb / (memory_mb * HEADROOM + CONTEXT_MB)))


class Ray:
    """Tasks of Ray, with `threads` CPUs each, and a share of a GPU where `gpus`.

    `address`: "auto", HOST:PORT or ray://HOST:PORT of a cluster that is there; None begins one on this machine with `cpus`. Ray
    begins a task again, up to `retries` times, whose process or node is gone; an error of the job's own is none of these.
    Raises UsageError without the library, or where there is no cluster at the address.
    """

    retries = 0  # of `work`: Ray's own are asked for

    def __init__(self, address: str | None, cpus: int, threads: int, retries: int = 3):
        self._ray, self.threads, self._tries, self._gpu_mb = library(), threads, retries, None
        self._begun = not self._ray.is_initialized()
        if self._begun:
            self._start(address, cpus)
        self.resources: dict[str, float] = self._ray.cluster_resources()
        self.gpus = False  # set by the sweep once it knows its device
        self._running: dict[Any, Job] = {}
        self._task = self._ray.remote(_do)

    def _start(self, address: str | None, cpus: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # tells nobody
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
        if address is not None:
            try:
                self._ray.init(address=address, **quiet)
            except (ConnectionError, OSError, ValueError, RuntimeError) as error:
                raise UsageError(
                    f"no Ray cluster at {address} ({in_a_line(error)}); begin one with: ray start --head, or leave --address out"
                ) from None
            return
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a Ray of this machine alone leaves no token in the user's home
        os.environ.setdefault("RAY_task_oom_retries", str(self._tries))  # by default it never gives up
        for last in (False, True):
            try:
                self._ray.init(num_cpus=cpus, object_store_memory=OBJECTS, include_dashboard=False, **quiet)
                return
            except Exception as error:  # a bare one, where its processes take longer than 30 s to answer: a busy machine
                self._ray.shutdown()
                if last:
                    raise RunFailed(
                        f"Ray does not begin on this machine ({in_a_line(error)}); try again, or use --engine local"
                    ) from None

    @property
    def has_gpus(self) -> bool:
        return self.resources.get("GPU", 0) > 0

    @property
    def slots(self) -> int:
        """Jobs of one whole share that the cluster can do at once."""
        if self.gpus:
            return max(1, int(self.resources["GPU"]))
        return max(1, int(self.resources.get("CPU", 1) // self.threads))

    def room(self) -> bool:
        return True  # Ray queues what it has no room for

    def begin(self, job: Job, found: dict[str, Any]) -> None:
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        level = logging.getLogger("benchmarks").getEffectiveLevel()
        wanted = {"num_cpus": self.threads, "num_gpus": share(job.memory_mb, self._memory()) if self.gpus else 0}
        task = self._task.options(name=job.name, max_retries=self._tries, retry_exceptions=False, **wanted)
        self._running[task.remote(job, found, kept, self.threads, level)] = job

    def ended(self) -> list[Ended]:
        ready, _ = self._ray.wait(list(self._running), num_returns=1)
        found = []
        for reference in ready:
            job = self._running.pop(reference)
            try:
                value, error = self._ray.get(reference)
                found.append(Ended(job, value, error))
            except self._ray.exceptions.RayTaskError as failure:  # before the job itself began
                found.append(Ended(job, error=in_a_line(failure.cause or failure)))
            except self._ray.exceptions.RayError as failure:
                log.debug("%s", failure)
                found.append(Ended(job, error=f"its process or its node died {self._tries + 1} times", died=True))
        return found

    def close(self, now: bool = False) -> None:
        if now:
            for reference in self._running:
                self._ray.cancel(reference, force=True)
        if self._begun:
            self._ray.shutdown()

    def _memory(self) -> float | None:
        """MB of the smallest GPU of the cluster, asked for once: of a node each. None where a node does not tell."""
        if self._gpu_mb is None:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

            nodes = [n["NodeID"] for n in self._ray.nodes() if n["Alive"] and n["Resources"].get("GPU")]
            ask = self._ray.remote(_gpu_memory)
            asked = [ask.options(num_cpus=0, num_gpus=0.01, scheduling_strategy=On(n, soft=False)).remote() for n in nodes]
            try:
                self._gpu_mb = min(self._ray.get(asked, timeout=120))
            except (self._ray.exceptions.RayError, ValueError) as error:
                log.warning("the GPUs' memory is not to be had (%s); every job gets a whole one", in_a_line(error))
                self._gpu_mb = 0.0
        return self._gpu_mb or None


def _do(job: Job, found: dict[str, Any], kept: dict[str, str], threads: int, level: int) -> tuple[Any, str | None]:
    """In a process of Ray's: (value, error in a line). An error is handed over as text: its class may not be known here."""
    from benchmarks.engines.local import settle

    os.environ.update(kept)
    settle(threads, level)
    try:
        return call(job, found), None
    except Exception as error:
        return None, in_a_line(error)


def _gpu_memory() -> float:
    import torch

    return min(torch.cuda.mem_get_info(k)[1] for k in range(torch.cuda.device_count())) / 2**20
