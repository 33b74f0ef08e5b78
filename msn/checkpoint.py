"""The documented door to encoders: `from msn.checkpoint import load_encoder`."""

from msn.encoders import load_encoder as load_encoder
