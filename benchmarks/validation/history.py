"""Earlier versions of the protocols, by hash: records of them are known, and named, but join no board of a later one."""

from __future__ import annotations

EARLIER = {
    "91d2b3525eba3cbefece1221eff874ce6d088ce145e04069443cccdc4e9685c2": "the first mini-v1",
    "59b694b8491633e29d1e2442f5dbfe8520b01f4ee273d0422031ace382109c96": "mini-v1 before a checkpoint whose clicks may mean parts",
    "25d051321a3300fea41321bfb745b5d32b9e9dc26126dfdcdfab858ca9e84d59": "mini-v1 before training took two epochs of small batches",
    "a73005ceb5a9359d5c2e2f84d8e3b35b3a2cdac12d7db7fc4e9edbbf8d07c312": "mini-v1 before search images were held out of training",
    "f9a82ae067713b93ce95e5f4998029f53684df27f91273e711bad656d04afda0": "paper-v1 before search images were held out of training",
    "c82af1ff5a1b40f7e7bd38f4f4738bb2bb0f453505434d73c3e1802b18b5ca2e": "paper-v1 before it had rules of single tasks",
}
# Of SAM 2, the versions that SAM still has: its records said "single" of a mask that is not always that of token 0.
EARLIER_SAM2 = "the version before SAM 2's choice of a mask was named as it is"
