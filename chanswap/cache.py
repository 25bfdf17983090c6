"""`FeatureCache`: feature maps of one shape in one checked file, read by memory map."""

from __future__ import annotations

import json
import math
import mmap
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from chanswap.writing import naming, whole

_MAGIC = b"chanswap-features-2\n"
_HEADER = struct.Struct("<II")  # length and crc32 of the JSON that follows: ids, shape, dtype, checks of the features
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class CacheError(ValueError):
    """A feature file that is cut short, damaged, or no feature file. Delete it and embed the images again."""


class FeatureCache(Sequence):
    """Features of a list of images: `cache[i]` is (C, ...) on the CPU, `cache.ids[i]` its name, `cache.about` free data.

    Opening checks every byte against its checksum (about 1 GB a second) and raises CacheError if one is wrong; memory is
    the operating system's page cache, so a cache larger than memory can be used.
    """

    def __init__(self, path: str | Path):
        try:
            with open(path, "rb") as file:
                if file.read(len(_MAGIC)) != _MAGIC:
                    raise CacheError(f"{path}: not a feature cache of this version")
                size, check = _HEADER.unpack(file.read(_HEADER.size))
                whole = os.fstat(file.fileno()).st_size
                text = file.read(min(size, whole))  # a damaged length must not ask for 4 GB
                start = file.tell()
                if len(text) != size or zlib.crc32(text) != check:
                    raise CacheError(f"{path}: damaged header")
                header = json.loads(text)
                self.ids, shape, self.about, checks = (header[key] for key in ("ids", "shape", "about", "crc32"))
                if not (_all(self.ids, str) and _all(checks, int) and len(checks) == len(self.ids)):
                    raise CacheError(f"{path}: damaged header: ids without their checksums")
                if not (_all(shape, int) and shape and min(shape) >= 1 and isinstance(self.about, dict)):
                    raise CacheError(f"{path}: damaged header: no features have such a shape")
                self.shape, self._dtype, self._start = torch.Size(shape), _DTYPES[header["dtype"]], start
                self._bytes = math.prod(shape) * self._dtype.itemsize
                if whole != start + self._bytes * len(self.ids):
                    raise CacheError(f"{path}: cut short or too long")
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError, struct.error) as error:
            raise error if isinstance(error, CacheError) else CacheError(f"{path}: damaged header") from None
        with memoryview(self._map) as view:
            for k, check in enumerate(checks):
                if zlib.crc32(view[start + k * self._bytes : start + (k + 1) * self._bytes]) != check:
                    raise CacheError(f"{path}: the features of image {k}, {self.ids[k][:80]!r}, are damaged")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, k: int) -> Tensor:
        if not 0 <= k < len(self.ids):
            raise IndexError(k)
        flat = torch.frombuffer(self._map, dtype=self._dtype, count=self.shape.numel(), offset=self._start + k * self._bytes)
        return flat.view(self.shape)

    @classmethod
    def write(cls, path: str | Path, features: Iterable[tuple[str, Tensor]], **about) -> FeatureCache:
        """Write (id, tensor (C, ...)) items, one at a time in memory, and open the file. It appears whole or not at all.

        Raises ValueError if the tensors differ in shape or dtype or are not floats of at most 32 bits, OSError, which
        names the file, if the disk is full.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        ids, checks, first = [], [], None
        with naming(path, always=True):
            body = tempfile.TemporaryFile(dir=path.parent)  # without a name, where the system can: a kill leaves nothing
        try:
            for name, tensor in features:
                tensor = tensor.detach().cpu().contiguous()
                first = tensor if first is None else first
                if tensor.dtype not in _DTYPES.values():
                    raise ValueError(f"features of {name} are {tensor.dtype}; a cache keeps {', '.join(_DTYPES)}")
                if tensor.shape != first.shape or tensor.dtype != first.dtype:
                    raise ValueError(
                        f"features of {name} are {tuple(tensor.shape)} {tensor.dtype}, the first were {tuple(first.shape)} {first.dtype}"
                    )
                data = tensor.view(torch.uint8).numpy().tobytes()
                with naming(path):
                    body.write(data)
                ids.append(name)
                checks.append(zlib.crc32(data))
            if first is None:
                raise ValueError("no features to write")
            dtype = str(first.dtype).removeprefix("torch.")
            header = json.dumps(
                {"ids": ids, "shape": list(first.shape), "dtype": dtype, "crc32": checks, "about": about}
            ).encode()
            header += b" " * (-(len(_MAGIC) + _HEADER.size + len(header)) % 64)  # the data starts on a cache line
            with whole(path) as file:
                body.seek(0)
                file.write(_MAGIC + _HEADER.pack(len(header), zlib.crc32(header)) + header)
                shutil.copyfileobj(body, file, 1 << 24)
        finally:
            with suppress(OSError):  # a full disk, which is said already
                body.close()
        return cls(path)


def _all(values: object, kind: type) -> bool:
    """Whether this is a list of values of exactly that type: True is no 1."""
    return isinstance(values, list) and all(type(v) is kind for v in values)
