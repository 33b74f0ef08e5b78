"""Schedules of pre-training as pure functions of the step (counted from 0), in float64.

Source: facebookresearch/msn. All of them are stretched: they are laid out for 1.25 times the run,
so that the end of the cosine, a momentum of 1 and the final weight decay are never reached.
"""

import math

STRETCH = 1.25


def learning_rate(step, *, start, peak, final, warmup_steps, total_steps):
    """Linear warm-up from `start` to `peak`, then a cosine towards `final`.

    The reference steps its schedule before the update: the first update uses the value after one
    warm-up step, not `start`.
    """
    step = step + 1
    if step < warmup_steps:
        return start + step / warmup_steps * (peak - start)
    progress = (step - warmup_steps) / max(1, int(STRETCH * total_steps) - warmup_steps)
    return max(final, final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress)))


def weight_decay(step, *, start, final, total_steps):
    """Cosine from `start` towards `final`; steps before the update, as the learning rate does."""
    progress = (step + 1) / int(STRETCH * total_steps)
    value = final + (start - final) * 0.5 * (1 + math.cos(math.pi * progress))
    return max(final, value) if final <= start else min(final, value)


def linear(step, *, start, final, total_steps):
    """Linear from `start` towards `final`: the EMA momentum and the sharpening temperature."""
    return start + step * (final - start) / (STRETCH * total_steps)


def teacher_weights(step, *, start, final, alone, total_steps):
    """Weights of the teacher's loss and of MSN's, (float, float); laid out for the run itself.

    The teacher's goes from `start` to `final`, linearly, and reaches it in the last step. MSN's is
    1, and 0 in the first steps, of which `alone` is the share of the run.
    """
    weight = start + step / max(1, total_steps - 1) * (final - start)
    return weight, float(step >= alone * total_steps)
