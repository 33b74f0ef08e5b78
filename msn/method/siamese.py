"""The anchor and the target network: images to embeddings, and the moving average between them.

Source: Assran et al., arXiv 2204.07141, section 3; facebookresearch/msn.
"""

import keras
import tensorflow as tf

from msn.method.heads import ProjectionHead
from msn.method.teacher import TeacherHead
from msn.networks.encoder import Encoder
from msn.networks.pieces import in_pieces


class SiameseNetworks(tf.Module):
    """Two networks of one kind, each an encoder and a projection head.

    Args:
      encoder: arguments of `msn.networks.vit.Encoder`, a dict.
      hidden_dim, output_dim: of the projection heads.
      recompute: whether the backward pass computes each block again instead of keeping its
        activations (gradient checkpointing).
      teacher_width: numbers that a teacher says of a frame, for `msn.method.teacher`; None without
        one.
      dtype: Keras dtype policy of the encoders; the heads are in that of its weights.
      seed: int; of the random initialisation.
    """

    def __init__(self, encoder, *, hidden_dim, output_dim, recompute, teacher_width, dtype, seed):
        super().__init__(name="msn")
        self.dtype = keras.DTypePolicy(dtype).variable_dtype
        self.recompute = recompute
        self.anchor_encoder = Encoder(**encoder, seed=seed, dtype=dtype)
        self.target_encoder = Encoder(**encoder, seed=seed, dtype=dtype)
        width = self.anchor_encoder.width
        dims = (width, hidden_dim, output_dim)
        self.anchor_head = ProjectionHead(*dims, seed=seed + 1, dtype=self.dtype)
        self.target_head = ProjectionHead(*dims, seed=seed + 1, dtype=self.dtype)
        self.teacher_head = None
        if teacher_width is not None:
            self.teacher_head = TeacherHead(width, teacher_width, seed=seed + 3, dtype=self.dtype)
        self.copy_anchor_to_target()

    @property
    def anchor_variables(self):
        """What the optimizer trains besides the prototypes: encoder, then head."""
        return self.anchor_encoder.trainable_variables + self.anchor_head.trainable_variables

    @property
    def target_variables(self):
        """The moving averages of `anchor_variables`, in the same order."""
        return self.target_encoder.trainable_variables + self.target_head.trainable_variables

    @property
    def teacher_variables(self):
        """Of the head that regresses a teacher's features; the target network has none."""
        return self.teacher_head.trainable_variables if self.teacher_head else []

    def copy_anchor_to_target(self):
        """Starts the target network at the anchor network, running statistics included."""
        for anchor, target in (
            (self.anchor_encoder, self.target_encoder),
            (self.anchor_head, self.target_head),
        ):
            target.set_weights(anchor.get_weights())

    def update_target(self, momentum, update=True):
        """Moves the target's parameters (not its running statistics) towards the anchor's.

        `update` is a bool scalar: with False nothing moves.
        """
        rate = tf.where(update, tf.cast(momentum, self.dtype), tf.cast(1, self.dtype))
        for anchor, target in zip(self.anchor_variables, self.target_variables, strict=True):
            target.assign(rate * target + (1 - rate) * anchor)

    def embed_target(self, images):
        """Images [batch, height, width, 3] -> [batch, output_dim], no gradient."""
        return self.project_target(self.represent_target(images))

    def represent_target(self, images):
        """Images [batch, height, width, 3] -> cls of the target encoder [batch, width]."""
        return self.represent(self.target_encoder, images)

    def project_target(self, cls):
        """[batch, width] -> [batch, output_dim], no gradient.

        The target network runs in training mode, as the reference's does: its batch norm uses the
        statistics of this batch.
        """
        return tf.stop_gradient(self.target_head(cls, training=True))

    def represent_anchors(self, anchor, focal, kept_patches, scales):
        """Yields cls of the anchor views [batch, width], then [focal views * batch, width].

        With a teacher, what is yielded of the anchor views is [batch, 2 * width]: cls, and the mean
        of the patches.

        Args:
          anchor, focal, kept_patches: as in `MSN.train_step`; without focal views, one batch.
          scales: None, or stochastic depth of all these images, float
            [depth, 2, (1 + focal views) * batch].
        """
        views = [(anchor, kept_patches)]
        if focal.shape[0]:
            views.append((tf.reshape(focal, (-1, *focal.shape[2:])), None))
        done = 0
        for images, kept in views:
            end = done + images.shape[0]
            drawn = None if scales is None else scales[:, :, done:end]
            patches = bool(self.teacher_head) and not done
            yield self.represent(self.anchor_encoder, images, kept, drawn, self.recompute, patches)
            done = end

    def project_anchors(self, cls):
        """What `represent_anchors` yields -> [(1 + focal views) * batch, output_dim].

        Views of one size are one batch: the masked anchor view and the focal views pass the head
        separately, each with batch statistics of its own.
        """
        return tf.concat([self.anchor_head(rows, training=True) for rows in cls], axis=0)

    def represent(
        self, encoder, images, kept_patches=None, scales=None, recompute=False, patches=False
    ):
        """Images of one size [n, height, width, 3] -> cls of an encoder in training [n, width].

        `scales` are those of stochastic depth, None or [depth, 2, n]. With `patches` the mean of
        the patches follows, [n, 2 * width].
        """

        def represent(rows):
            return encoder.backbone.represent(
                encoder.preprocess(images[rows]),
                kept_patches,
                branch_scales=None if scales is None else scales[:, :, rows],
                recompute=recompute,
                patches=patches,
                training=True,
            )

        if encoder.backbone.stem_channels:  # its batch norms are over the whole batch
            return represent(slice(None))
        return in_pieces(represent, images.shape[0])
