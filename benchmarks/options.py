"""How a run is computed: choices of training and of decoding that trade memory for time and change no rule of the protocol."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from benchmarks.errors import UsageError

LEANER = "try --micro-batch 1, --activation-checkpointing or --precision bfloat16"  # what takes less memory


@dataclass(frozen=True)
class Decoding:
    """How the decoder is run on versions of an image's features: the same masks up to rounding.

    shortcuts: products re-associated, and a pair of channels as a rank-one change; without, the library's own decoder on features
    replaced in full. compiled: by `torch.compile`, on a GPU with CUDA graphs; slow to begin, and plainly run where it fails.
    """

    shortcuts: bool = True
    compiled: bool = False

    @property
    def altered(self) -> dict:
        """What differs from the default, and may move the last digits: part of what a search and an evaluation are kept under."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    @property
    def flags(self) -> str:
        """The command line's words for it."""
        return " ".join(["--no-shortcuts"] * (not self.shortcuts) + ["--compile"] * self.compiled)


@dataclass(frozen=True)
class Options:
    """What a user may choose about the arithmetic of training. A record shows all of it.

    micro_batch: images whose gradient is computed at once; the gradients of the protocol's batch are accumulated from them
    (the same up to rounding, for less memory). activation_checkpointing: the encoder's blocks are computed again in the
    backward pass instead of being remembered. loaders: processes that read images ahead; 0 reads where it is worked.
    """

    micro_batch: int = 2
    activation_checkpointing: bool = False
    loaders: int = 0

    def __post_init__(self):
        if self.micro_batch < 1 or self.loaders < 0:
            raise UsageError(
                f"--micro-batch must be at least 1 and --loaders at least 0; got {self.micro_batch} and {self.loaders}"
            )

    @property
    def arithmetic(self) -> dict:
        """What may move the last digits of a result: part of what trained weights are kept under."""
        return {k: v for k, v in asdict(self).items() if k != "loaders"}

    @property
    def flags(self) -> str:
        """The command line's words for what differs from the default."""
        words = [f"--micro-batch {self.micro_batch}"] if self.micro_batch != Options.micro_batch else []
        words += ["--activation-checkpointing"] if self.activation_checkpointing else []
        words += [f"--loaders {self.loaders}"] if self.loaders else []
        return " ".join(words)
