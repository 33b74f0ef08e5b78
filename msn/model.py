"""Masked Siamese Networks: anchor network, target network, prototypes, and one train step.

Source: Assran et al., arXiv 2204.07141, section 3 and algorithm 1; facebookresearch/msn.
"""

import keras
import tensorflow as tf

from msn.blocks import branch_scales
from msn.heads import ProjectionHead
from msn.losses import msn_loss
from msn.optimizer import AdamW, clip_by_global_norm
from msn.vit import Encoder


class MSN(tf.Module):
    """The two networks, the prototypes and the optimizer, with the train step over them.

    Args:
      encoder: arguments of `msn.vit.Encoder`, a dict.
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
      dtype: Keras dtype policy of encoders and heads, as "mixed_bfloat16"; None for Keras' default.
        Weights, batch statistics and loss are never in half precision.
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
        dtype=None,
        seed=0,
    ):
        super().__init__(name="msn")
        self.temperature = temperature
        self.me_max_weight = me_max_weight
        self.entropy_weight = entropy_weight
        self.use_sinkhorn = use_sinkhorn
        self.prior_exponent = prior_exponent
        self.drop_path = drop_path
        self.recompute = recompute
        self.clip_gradients = clip_gradients
        self.seed = seed

        self.anchor_encoder, self.target_encoder = (
            Encoder(**encoder, seed=seed, dtype=dtype) for _ in "at"
        )
        width = self.anchor_encoder.width
        self.anchor_head, self.target_head = (
            ProjectionHead(width, hidden_dim, output_dim, seed=seed + 1, dtype=dtype) for _ in "at"
        )
        bound = output_dim**-0.5
        self.prototypes = keras.Variable(
            keras.random.uniform((num_prototypes, output_dim), -bound, bound, seed=seed + 2),
            name="prototypes",
        )
        self.copy_anchor_to_target()
        trained = [*self.anchor_variables, self.prototypes]
        # Biases, norms and every other 1-d parameter are not decayed, nor are the prototypes.
        decayed = [len(variable.shape) > 1 for variable in self.anchor_variables] + [False]
        self.optimizer = AdamW([variable.value for variable in trained], decayed)

    @property
    def anchor_variables(self):
        """What the optimizer trains besides the prototypes: encoder, then head."""
        return self.anchor_encoder.trainable_variables + self.anchor_head.trainable_variables

    @property
    def target_variables(self):
        """The moving averages of `anchor_variables`, in the same order."""
        return self.target_encoder.trainable_variables + self.target_head.trainable_variables

    def copy_anchor_to_target(self):
        """Starts the target network at the anchor network, running statistics included."""
        for anchor, target in (
            (self.anchor_encoder, self.target_encoder),
            (self.anchor_head, self.target_head),
        ):
            target.set_weights(anchor.get_weights())

    def train_step(self, views, kept_patches, schedule):
        """One optimisation step, all variables updated in place.

        Args:
          views: dict of images, RGB 0..255: "target" and "anchor" [batch, height, width, 3] and
            "focal" [focal views, batch, height, width, 3].
          kept_patches: int [kept]; the patches of the anchor view that its network sees.
          schedule: dict of scalars "learning_rate", "weight_decay", "momentum", "sharpening".

        Returns:
          dict of scalars: "loss" and its parts "cross_entropy", "me_max", "entropy";
          "gradient_norm" before clipping, "gradient_norm_first_block" and "_last_block" (of the
          qkv kernels), "max_target" (mean largest target probability), "prototypes_used".
        """
        targets = self.embed_target(views["target"])
        with tf.GradientTape() as tape:
            anchors = self.embed_anchors(views["anchor"], views["focal"], kept_patches)
            parts = msn_loss(
                anchors,
                targets,
                self.prototypes,
                temperature=self.temperature,
                sharpening=schedule["sharpening"],
                use_sinkhorn=self.use_sinkhorn,
                prior_exponent=self.prior_exponent,
            )
            loss = (
                parts["cross_entropy"]
                + self.me_max_weight * parts["me_max"]
                + self.entropy_weight * parts["entropy"]
            )
        variables = [variable.value for variable in self.anchor_variables]
        *gradients, prototype_gradient = tape.gradient(loss, [*variables, self.prototypes.value])
        clipped, norm = clip_by_global_norm(gradients, self.clip_gradients)
        self.optimizer.apply(
            [*clipped, prototype_gradient], schedule["learning_rate"], schedule["weight_decay"]
        )
        self.update_target(schedule["momentum"])

        assignments = parts.pop("targets")
        first, last = self.block_gradient_norms(gradients)
        return parts | {
            "loss": loss,
            "gradient_norm": norm,
            "gradient_norm_first_block": first,
            "gradient_norm_last_block": last,
            "max_target": tf.reduce_mean(tf.reduce_max(assignments, axis=1)),
            "prototypes_used": count_distinct(tf.argmax(assignments, axis=1), assignments.shape[1]),
        }

    def embed_target(self, images):
        """Images [batch, height, width, 3] -> [batch, output_dim], no gradient.

        The target network runs in training mode, as the reference's does: its batch norm uses the
        statistics of this batch.
        """
        encoder = self.target_encoder
        (cls,) = encoder.backbone.represent([encoder.preprocess(images)], training=True)
        return tf.stop_gradient(self.target_head(cls, training=True))

    def embed_anchors(self, anchor, focal, kept_patches):
        """Anchor and focal images -> [(1 + focal views) * batch, output_dim], view by view.

        Views of one size are one batch: the masked anchor view and the focal views pass the head
        separately, each with batch statistics of its own.
        """
        encoder, views, kept = self.anchor_encoder, [anchor], [kept_patches]
        if focal.shape[0]:
            views.append(tf.reshape(focal, (-1, *focal.shape[2:])))
            kept.append(None)
        representations = encoder.backbone.represent(
            [encoder.preprocess(images) for images in views],
            kept,
            branch_scales=self.draw_branch_scales(sum(images.shape[0] for images in views)),
            recompute=self.recompute,
            training=True,
        )
        return tf.concat([self.anchor_head(cls, training=True) for cls in representations], axis=0)

    def draw_branch_scales(self, images):
        """Stochastic depth of this step, [depth, 2, images]; None without it."""
        if not self.drop_path:
            return None
        shape = (self.anchor_encoder.backbone.depth, 2, images)
        seed = tf.stack([tf.constant(self.seed, tf.int64), self.optimizer.steps])
        uniform = tf.random.stateless_uniform(shape, seed)
        return branch_scales(tf.cast(uniform, self.anchor_encoder.compute_dtype), self.drop_path)

    def update_target(self, momentum):
        """Moves the target's parameters (not its running statistics) towards the anchor's."""
        for anchor, target in zip(self.anchor_variables, self.target_variables, strict=True):
            rate = tf.cast(momentum, target.dtype)
            target.assign(rate * target + (1 - rate) * anchor)

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
