"""Encoders that teach beside MSN's loss: opened, asked of frames or of views, kept by a run."""
