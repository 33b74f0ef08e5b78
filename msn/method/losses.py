"""The MSN loss as small pure functions, written with `keras.ops` alone.

Source: Assran et al., "Masked Siamese Networks for Label-Efficient Learning", arXiv 2204.07141,
section 3; facebookresearch/msn for Sinkhorn and the constants; PMSN: arXiv 2210.07277. Everything
is computed from logits in log space, in float32 or better, so that nothing overflows or meets
log(0) where the reference's `log(p ** -t)` does.
"""

import math

import numpy as np
from keras import ops

from msn.networks.blocks import at_least_float32


def log_predictions(embeddings, prototypes, temperature):
    """Log-probabilities of each embedding over the prototypes (eq. 1), [n, prototypes].

    Args:
      embeddings: [n, dim]; prototypes: [prototypes, dim]; cosine similarity, any scale.
      temperature: tau, divides the similarities.
    """
    embeddings = l2_normalise(at_least_float32(embeddings))
    prototypes = l2_normalise(ops.cast(prototypes, embeddings.dtype))
    return ops.log_softmax(ops.matmul(embeddings, ops.transpose(prototypes)) / temperature, axis=-1)


def sharpen(log_probabilities, temperature):
    """p ** (1 / temperature), normalised (section 3, "sharpening"): [n, k] logs -> logs."""
    return ops.log_softmax(log_probabilities / temperature, axis=-1)


def sinkhorn(log_assignments, iterations=3):
    """Balances assignments: rows sum to 1, columns to about n / k; [n, k] logs -> logs.

    As in the reference: three rounds of columns, then rows (Sinkhorn-Knopp); its factors n and k
    cancel. In logs a prototype that gets next to nothing is lifted to its share as every other.
    """
    for _ in range(iterations):
        for axis in (0, 1):
            sums = ops.logsumexp(log_assignments, axis=axis, keepdims=True)
            log_assignments = log_assignments - sums  # no "-=": it would change torch's argument
    return log_assignments


def cross_entropies(log_probabilities, targets):
    """H(t, p) = -sum_k t_k log p_k of each row; predictions as logs and targets [n, k] -> [n]."""
    return -ops.sum(targets * log_probabilities, axis=-1)


def cross_entropy(log_probabilities, targets):
    """Mean over rows of H(target, prediction) (eq. 2); both [n, k], predictions as logs."""
    return ops.mean(cross_entropies(log_probabilities, targets))


def log_power_law(k, exponent):
    """Logs of a prior over k prototypes, p(i) ~ i ** -exponent for i = 1..k: float64 [k]."""
    log_prior = -exponent * np.log(np.arange(1, k + 1))
    return log_prior - np.log(np.sum(np.exp(log_prior)))


def me_max(log_probabilities, prior_exponent=0.0):
    """KL(mean prediction || prior) >= 0: 0 if the prototypes are used as the prior says.

    With exponent 0 the prior is uniform, and this is log k - H(mean prediction), the regulariser of
    MSN's eq. 2. With another it is PMSN's (arXiv 2210.07277): a power law, for data in which some
    classes are rare.

    Args:
      log_probabilities: [n, k].
      prior_exponent: of the power law.
    """
    log_mean = log_mean_prediction(log_probabilities)
    log_prior = ops.cast(log_power_law(log_mean.shape[0], prior_exponent), log_mean.dtype)
    return ops.sum(ops.exp(log_mean) * (log_mean - log_prior))


def log_mean_prediction(log_probabilities):
    """Log of the mean over rows of probabilities: [n, k] logs -> [k] logs."""
    return ops.logsumexp(log_probabilities, axis=0) - math.log(log_probabilities.shape[0])


def entropy(log_probabilities):
    """Mean entropy of the single predictions, H(p, p), [n, k] logs -> scalar."""
    return cross_entropy(log_probabilities, ops.exp(log_probabilities))


def target_assignments(target_embeddings, prototypes, temperature, sharpening, use_sinkhorn):
    """What the anchors have to predict: sharpened, balanced target predictions, [batch, k].

    No gradient flows through them, neither to the target embeddings nor to the prototypes.
    """
    log_targets = log_predictions(target_embeddings, prototypes, temperature)
    targets = sharpen(log_targets, sharpening)
    return ops.stop_gradient(ops.exp(sinkhorn(targets) if use_sinkhorn else targets))


def msn_loss(
    anchor_embeddings,
    target_embeddings,
    prototypes,
    *,
    temperature=0.1,
    sharpening=0.25,
    use_sinkhorn=True,
    prior_exponent=0.0,
):
    """All parts of the loss (eq. 2) for a batch.

    Args:
      anchor_embeddings: [views * batch, dim], view by view, the batch in the target's order.
      target_embeddings: [batch, dim].
      prototypes: [k, dim].
      temperature, sharpening: tau and T (the paper's tau+ is their product).
      use_sinkhorn: whether target assignments are balanced over the batch.
      prior_exponent: of the power law that `me_max` compares with.

    Returns:
      dict of scalars "cross_entropy", "me_max", "entropy" (mean of the single predictions'),
      "mean_entropy" (of the mean prediction), and the "targets" [batch, k].
    """
    targets = target_assignments(
        target_embeddings, prototypes, temperature, sharpening, use_sinkhorn
    )
    predictions = log_predictions(anchor_embeddings, prototypes, temperature)
    views = anchor_embeddings.shape[0] // target_embeddings.shape[0]
    return {
        "cross_entropy": cross_entropy(predictions, ops.tile(targets, (views, 1))),
        "me_max": me_max(predictions, prior_exponent),
        "entropy": entropy(predictions),
        "mean_entropy": entropy(log_mean_prediction(predictions)[None]),
        "targets": targets,
    }


def l2_normalise(x):
    """Rows to length 1; a row shorter than 1e-12 keeps its direction and stays short (PyTorch)."""
    square = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(square, 1e-24))
