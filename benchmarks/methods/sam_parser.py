"""`sam-parser`: the singular values of the neck's convolutions trained, nothing else (SAM-PARSER, arXiv 2308.14604).

The published claim of 512 parameters is that of the two neck convolutions' 256 singular values each. The released script
(SJTU-DeepVisionLab/SAM-PARSER) trains more: its test `'vector_S' and 'neck' in name` lets every tensor of the neck through,
factors and layer norms, and its optimiser holds prompt encoder and decoder too. Here 512 are 512, and the decoder is frozen.
"""

from __future__ import annotations

from benchmarks.backbones.anatomy import anatomy
from benchmarks.methods import Attachment, Method


class SamParser(Method):
    name = "sam-parser"
    summary = "SAM-PARSER: the singular values of the neck's convolutions trained, the decoder frozen"
    skips = {"dinov2": "it trains singular values of the neck's convolutions, and DINOv2 has no convolutional neck"}

    def attach(self, model) -> Attachment:
        from benchmarks.methods.singular import SingularConv2d

        parts = anatomy(model)
        if not parts.neck:
            raise ValueError(f"sam-parser is not for {parts.family}: {self.skips[parts.family]}")
        for name in parts.neck:
            owner, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(owner), attribute, SingularConv2d(model.get_submodule(name)))
        return Attachment(tuple(f"{name}.singular_values" for name in parts.neck))

    def count(self, model) -> int:
        """512 on every SAM with 256 channels; 256 + 256 + 192 + 96 = 800 on SAM 2.1 tiny, whose lateral kernels get narrow."""
        kernels = [model.get_submodule(name).weight.shape for name in anatomy(model).neck]
        return sum(min(out, within * height * width) for out, within, height, width in kernels)
