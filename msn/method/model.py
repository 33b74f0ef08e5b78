"""Masked Siamese Networks: prototypes and optimizer of the two networks, and one train step.

Source: Assran et al., arXiv 2204.07141, section 3 and algorithm 1; facebookresearch/msn.
"""

import keras
import tensorflow as tf

from msn.method.losses import l2_normalise, msn_loss
from msn.method.optimizer import AdamW, clip_by_global_norm
from msn.method.siamese import SiameseNetworks
from msn.method.teacher import teacher_loss
from msn.networks.blocks import at_least_float32, branch_scales


class MSN(SiameseNetworks):
    """The two networks, the prototypes and the optimizer, with the train step over them.

    Args:
      encoder: arguments of `msn.networks.vit.Encoder`, a dict.
      hidden_dim, output_dim: of the projection heads.
      num_prototypes: int.
      temperature: tau of the softmax over prototypes.
      me_max_weight, entropy_weight: weights of the two regularisers (lambda, and the reference's
        ent_weight).
      use_sinkhorn: whether target assignments are balanced over the batch.
      prior_exponent: of the power law that me-max pulls the mean prediction to (PMSN); 0 is MSN.
      drop_path: share of images that skip a branch of the anchor encoder's last block (stochastic
        depth); the target sees its whole network.
      recompute: whether the backward pass computes each block again instead of keeping its
        activations (gradient checkpointing).
      clip_gradients: limit of the global norm of the encoder's and head's gradients; 0 for none.
        The prototypes are not clipped.
      teacher_width: numbers that a teacher says of a frame, for `msn.method.teacher`; None without
        one: everything is then as if there were no teachers.
      dtype: Keras dtype policy of the encoders, as "mixed_bfloat16".
        Weights, heads and loss are never in half precision: predictions are sharpened to a
        temperature of 0.025, and the heads are a hundredth of the work.
      seed: int; of the random initialisation and of stochastic depth.
    """

    def __init__(
        self,
        encoder,
        *,
        hidden_dim=2048,
        output_dim=256,
        num_prototypes=1024,
        temperature=0.1,
        me_max_weight=1.0,
        entropy_weight=0.0,
        use_sinkhorn=True,
        prior_exponent=0.0,
        drop_path=0.0,
        recompute=False,
        clip_gradients=3.0,
        teacher_width=None,
        dtype="float32",
        seed=0,
    ):
        super().__init__(
            encoder,
            hidden_dim=hidden_dim,
            output_dim=output_dim,
            recompute=recompute,
            teacher_width=teacher_width,
            dtype=dtype,
            seed=seed,
        )
        self.temperature = temperature
        self.me_max_weight = me_max_weight
        self.entropy_weight = entropy_weight
        self.use_sinkhorn = use_sinkhorn
        self.prior_exponent = prior_exponent
        self.drop_path = drop_path
        self.clip_gradients = clip_gradients
        self.seed = seed
        bound = output_dim**-0.5
        self.prototypes = keras.Variable(
            keras.random.uniform((num_prototypes, output_dim), -bound, bound, self.dtype, seed + 2),
            name="prototypes",
        )
        trained = [*self.anchor_variables, self.prototypes, *self.teacher_variables]
        # Biases, norms and every other 1-d parameter are not decayed, nor are the prototypes.
        decayed = [len(v.shape) > 1 and v is not self.prototypes for v in trained]
        self.optimizer = AdamW([variable.value for variable in trained], decayed)

    def train_step(self, views, kept_patches, schedule):
        """One optimisation step, all variables updated in place.

        Args:
          views: dict of images, RGB 0..255: "target" and "anchor" [batch, height, width, 3] and
            "focal" [focal views, batch, height, width, 3]; with a teacher what it says of the
            anchors' frames, "teacher" [batch, teacher_width], normalised.
          kept_patches: int [kept]; the patches of the anchor view that its network sees.
          schedule: dict of scalars "learning_rate", "weight_decay", "momentum", "sharpening"; with
            a teacher "msn_weight" and "teacher_weight", those of both losses.

        Returns:
          dict of scalars: "loss" and its parts "cross_entropy", "me_max", "entropy" (mean of the
          single predictions'), with a teacher "teacher"; "updated", 0 if loss or gradients were not
          finite: parameters, moments and moving averages are then as before the step;
          "gradient_norm" before clipping, "gradient_norm_prototypes", "gradient_norm_first_block"
          and "_last_block" (of the qkv kernels); "max_target" (mean largest target probability),
          "prototypes_used", "mean_entropy" (of the mean prediction); and "embedding_covariance",
          [output_dim, output_dim], of the target embeddings at length 1.
        """
        targets = self.embed_target(views["target"])
        with tf.GradientTape() as tape:
            cls = list(self.anchor_rows(views["anchor"], views["focal"], kept_patches))
            if self.teacher_head:
                taught, cls[0] = cls[0], cls[0][:, : self.anchor_encoder.width]
            parts = self.loss(self.project_anchors(cls), targets, schedule["sharpening"])
            if self.teacher_head:
                parts = self.add_teacher(parts, taught, views["teacher"], schedule)
        trained = [*self.anchor_variables, self.prototypes, *self.teacher_variables]
        gradients = tape.gradient(parts["loss"], [variable.value for variable in trained])
        return self.update(gradients, parts, targets, schedule)

    def loss(self, anchors, targets, sharpening):
        """Embeddings as `msn_loss` takes them -> its parts, and their weighted sum "loss"."""
        parts = msn_loss(
            anchors,
            targets,
            self.prototypes,
            temperature=self.temperature,
            sharpening=sharpening,
            use_sinkhorn=self.use_sinkhorn,
            prior_exponent=self.prior_exponent,
        )
        loss = (
            parts["cross_entropy"]
            + self.me_max_weight * parts["me_max"]
            + self.entropy_weight * parts["entropy"]
        )
        return parts | {"loss": loss}

    def add_teacher(self, parts, taught, said, schedule):
        """What `loss` returned, with the teacher's loss in it.

        While MSN's weight is 0, prototypes, biases and norms of its head stand still, and the
        head's kernels decay as all others do.

        Args:
          taught: of the anchor views, what `represent_anchors` yields of them [batch, 2 * width].
          said: the teacher's features of the same frames [batch, teacher_width].
          schedule: as in `train_step`.
        """
        teacher = teacher_loss(self.teacher_head(taught), said)
        loss = schedule["msn_weight"] * parts["loss"] + schedule["teacher_weight"] * teacher
        return parts | {"loss": loss, "teacher": teacher}

    def update(self, gradients, parts, targets, schedule):
        """The end of a train step: moves all variables by gradients of the whole batch.

        Args:
          gradients: list of tensors, of `anchor_variables`, of the prototypes, and of
            `teacher_variables`.
          parts: what `loss` returned.
          targets: embeddings [batch, output_dim].
          schedule: as in `train_step`.

        Returns:
          what `train_step` returns.
        """
        number = len(self.anchor_variables)
        gradients, (prototype_gradient, *of_teacher) = gradients[:number], gradients[number:]
        parts = dict(parts)
        loss, assignments = parts["loss"], parts.pop("targets")
        clipped, norm = clip_by_global_norm(gradients, self.clip_gradients)
        prototypes_norm = tf.norm(prototype_gradient)
        norms = norm + prototypes_norm
        if of_teacher:
            norms += tf.linalg.global_norm(of_teacher)
        finite = tf.math.is_finite(loss + norms)
        self.optimizer.apply(
            [*clipped, prototype_gradient, *of_teacher],
            schedule["learning_rate"],
            schedule["weight_decay"],
            update=finite,
        )
        self.update_target(schedule["momentum"], update=finite)

        first, last = self.block_gradient_norms(gradients)
        return parts | {
            "updated": tf.cast(finite, loss.dtype),
            "gradient_norm": norm,
            "gradient_norm_prototypes": prototypes_norm,
            "gradient_norm_first_block": first,
            "gradient_norm_last_block": last,
            "max_target": tf.reduce_mean(tf.reduce_max(assignments, axis=1)),
            "prototypes_used": count_distinct(tf.argmax(assignments, axis=1), assignments.shape[1]),
            "embedding_covariance": covariance(l2_normalise(at_least_float32(targets))),
        }

    def embed_anchors(self, anchor, focal, kept_patches):
        """Anchor and focal images -> [(1 + focal views) * batch, output_dim], view by view."""
        return self.project_anchors(self.anchor_rows(anchor, focal, kept_patches))

    def anchor_rows(self, anchor, focal, kept_patches):
        """What `represent_anchors` yields, with the stochastic depth of this step."""
        scales = self.draw_branch_scales(anchor.shape[0], focal.shape[0])
        return self.represent_anchors(anchor, focal, kept_patches, scales)

    def draw_branch_scales(self, batch, focal_views):
        """Stochastic depth of this step for the anchor views of a batch, then the focal views.

        Returns:
          float [depth, 2, (1 + focal_views) * batch]; None without stochastic depth.
        """
        if not self.drop_path:
            return None
        shape = (self.anchor_encoder.backbone.depth, 2, (1 + focal_views) * batch)
        seed = tf.stack([tf.constant(self.seed, tf.int64), self.optimizer.steps])
        uniform = tf.random.stateless_uniform(shape, seed)
        uniform = tf.cast(uniform, self.anchor_encoder.variable_dtype)
        return branch_scales(uniform, self.drop_path)

    def block_gradient_norms(self, gradients):
        """Norms of the gradients of the first and last block's qkv kernels."""
        blocks = self.anchor_encoder.backbone.blocks
        norms = {
            id(variable): gradient
            for variable, gradient in zip(self.anchor_variables, gradients, strict=True)
        }
        return [tf.norm(norms[id(b.attention.qkv.kernel)]) for b in (blocks[0], blocks[-1])]


def count_distinct(ids, limit):
    """Number of distinct values among int ids [n] in 0..limit - 1, as float32."""
    return tf.reduce_sum(tf.reduce_max(tf.one_hot(ids, limit), axis=0))


def covariance(x):
    """Covariance of the columns of [n, d], about their means: [d, d]."""
    x = x - tf.reduce_mean(x, axis=0)
    return tf.matmul(x, x, transpose_a=True) / x.shape[0]
