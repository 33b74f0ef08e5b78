"""A pre-training step of MSN in plain PyTorch, for tests.benchmarks.pretrain_step.

  python -m tests.benchmarks.torch_step

Standard modules, this loss, and the work of a reference step (Assran et al., arXiv 2204.07141;
facebookresearch/msn): views of one size in one batch, AdamW, clipped gradients, moving average of
the target. Images come normalised. For every line "<batch size> <sdpa or plain>" on stdin it does
a step and prints its seconds.
"""

import sys
import time

import torch
from torch import nn
from torch.nn import functional

from data.views.masking import kept_patches

WIDTH, DEPTH, HEADS, PATCH, SIZE = 384, 12, 6, 16, 224
FOCAL_VIEWS, FOCAL_SIZE, PATCH_DROP = 10, 96, 0.15
HIDDEN, OUTPUT, PROTOTYPES = 2048, 256, 1024
TEMPERATURE, SHARPENING, ME_MAX_WEIGHT = 0.1, 0.25, 1.0
LEARNING_RATE, WEIGHT_DECAY, MOMENTUM, CLIP = 1e-3, 0.04, 0.996, 3.0


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.kind = "sdpa"
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens):
        images, count, _ = tokens.shape
        qkv = self.qkv(tokens).view(images, count, 3, HEADS, WIDTH // HEADS)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if self.kind == "sdpa":
            mixed = functional.scaled_dot_product_attention(queries, keys, values)
        else:
            scores = (queries @ keys.transpose(-2, -1)) * (WIDTH // HEADS) ** -0.5
            mixed = scores.softmax(-1) @ values
        return self.proj(mixed.transpose(1, 2).reshape(images, count, WIDTH))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, eps=1e-6) for _ in range(2))
        self.attn = Attention()
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, tokens):
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class VisionTransformer(nn.Module):
    """ViT-S/16: normalised images [batch, 3, height, width] -> cls [batch, WIDTH]."""

    def __init__(self):
        super().__init__()
        self.grid = SIZE // PATCH
        self.patch_embed = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + self.grid**2, WIDTH))
        self.blocks = nn.Sequential(*[Block() for _ in range(DEPTH)])
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, images, kept=None):
        tokens = self.patch_embed(images).flatten(2).transpose(1, 2)
        tokens = tokens + self.positions(images.shape[-1] // PATCH)
        if kept is not None:
            tokens = tokens[:, kept]
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(images), -1, -1)
        return self.norm(self.blocks(torch.cat([cls, tokens], 1)))[:, 0]

    def positions(self, grid):
        """Those of the patches, [1, grid**2, WIDTH]."""
        positions = self.pos_embed[:, 1:]
        if grid == self.grid:
            return positions
        square = positions.reshape(1, self.grid, self.grid, WIDTH).permute(0, 3, 1, 2)
        square = functional.interpolate(square, (grid, grid), mode="bicubic")
        return square.flatten(2).transpose(1, 2)


class Network(nn.Module):
    """Encoder and projection head."""

    def __init__(self):
        super().__init__()
        self.encoder = VisionTransformer()
        self.head = nn.Sequential(
            nn.Linear(WIDTH, HIDDEN),
            nn.BatchNorm1d(HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.BatchNorm1d(HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, OUTPUT),
        )

    def forward(self, images, kept=None):
        return self.head(self.encoder(images, kept))


class Training:
    """Both networks, prototypes and optimizer, with the step over them."""

    def __init__(self):
        self.anchor, self.target = Network(), Network()
        self.target.load_state_dict(self.anchor.state_dict())
        self.target.requires_grad_(False)
        self.prototypes = nn.Parameter(torch.rand(PROTOTYPES, OUTPUT) / 8 - 1 / 16)
        weights = list(self.anchor.parameters())
        groups = [
            {"params": [weight for weight in weights if weight.ndim > 1]},
            {"params": [weight for weight in weights if weight.ndim == 1], "weight_decay": 0.0},
            {"params": [self.prototypes], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )

    def step(self, views, kept):
        """One optimisation step; views as `random_views` gives them. Returns the loss."""
        with torch.no_grad():
            targets = self.target(views["target"])
        anchors = torch.cat([self.anchor(views["anchor"], kept), self.anchor(views["focal"])])
        loss = msn_loss(anchors, targets, self.prototypes)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.anchor.parameters(), CLIP)
        self.optimizer.step()
        with torch.no_grad():
            for anchor, target in zip(
                self.anchor.parameters(), self.target.parameters(), strict=True
            ):
                target.lerp_(anchor, 1 - MOMENTUM)
        return loss.item()

    def attend_by(self, kind):
        """Sets the attention of all blocks to "sdpa" or "plain"."""
        for module in [*self.anchor.modules(), *self.target.modules()]:
            if isinstance(module, Attention):
                module.kind = kind


def msn_loss(anchors, targets, prototypes):
    """Cross-entropy with sharpened, balanced targets, and me-max."""
    prototypes = functional.normalize(prototypes)
    predictions = functional.log_softmax(
        functional.normalize(anchors) @ prototypes.T / TEMPERATURE, -1
    )
    with torch.no_grad():
        logits = functional.normalize(targets) @ prototypes.T / TEMPERATURE
        assigned = sinkhorn(functional.softmax(logits / SHARPENING, -1))
    assigned = assigned.repeat(len(anchors) // len(targets), 1)
    mean = predictions.exp().mean(0)
    me_max = (mean * mean.log()).sum() + torch.tensor(PROTOTYPES).log()
    return -(assigned * predictions).sum(-1).mean() + ME_MAX_WEIGHT * me_max


def sinkhorn(assignments):
    """Three rounds of columns, then rows."""
    rows, columns = assignments.shape
    assignments = assignments / assignments.sum()
    for _ in range(3):
        assignments = assignments / assignments.sum(0, keepdim=True) / columns
        assignments = assignments / assignments.sum(1, keepdim=True) / rows
    return assignments * rows


def random_views(batch_size):
    return {
        "target": torch.randn(batch_size, 3, SIZE, SIZE),
        "anchor": torch.randn(batch_size, 3, SIZE, SIZE),
        "focal": torch.randn(FOCAL_VIEWS * batch_size, 3, FOCAL_SIZE, FOCAL_SIZE),
    }


def main():
    torch.manual_seed(0)
    training, views = Training(), {}
    print("ready", flush=True)
    for step, line in enumerate(sys.stdin):
        batch_size, attention = line.split()
        if batch_size not in views:
            views[batch_size] = random_views(int(batch_size))
        training.attend_by(attention)
        kept = torch.from_numpy(kept_patches((SIZE // PATCH) ** 2, PATCH_DROP, 0, step))
        start = time.perf_counter()
        training.step(views[batch_size], kept)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
