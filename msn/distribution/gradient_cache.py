"""The train step over several replicas, or in micro-batches, with the result of the whole batch.

Sinkhorn, me-max and the heads' batch norms see the whole batch at once, so gradients of parts of
it cannot simply be added. By gradient caching every replica embeds its images, micro-batch by
micro-batch, with the encoders alone; the rows of cls, which are small, are shared; each computes
heads and loss of the whole batch; and each takes the gradient of its own rows back through the
encoder. What the encoders' weights then receive, added up, is the gradient of the whole batch.

Source: Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", arXiv
2101.06983, section 3.
"""

import tensorflow as tf

from msn.method.model import MSN


class CachedStep:
    """What `MSN.train_step` does, called on every replica with its share of the batch.

    Shares are in the order of the replicas, and so are the rows of the whole batch. Without
    micro-batches the forward pass is kept for the backward pass; with them it is computed again,
    so that the activations of one are in memory at a time.

    Args:
      model: whose variables were made in the scope of the strategy, if there is one.
      accumulation: number of micro-batches, which divides the share.
      compiled: whether XLA compiles what is between the exchanges; these themselves it cannot on
        the CPU.
    """

    def __init__(self, model: MSN, accumulation: int, compiled: bool):
        self.model, self.accumulation = model, accumulation

        def piece(function):
            return tf.function(function, jit_compile=compiled or None, autograph=False)

        self.represent_target = piece(model.represent_target)
        self.represent_anchors = piece(self._represent_anchors)
        self.encoder_gradients = piece(self._encoder_gradients)
        self.loss_gradients = piece(self._loss_gradients)
        self.update = piece(model.update)

    def __call__(self, views, kept_patches, schedule):
        """As `MSN.train_step`, in a replica context, with the views of this replica alone.

        The update is the same on every replica, and so are the values that are returned.
        """
        context = tf.distribute.get_replica_context()
        inputs = self.micro_batches(context, views)
        targets = one_by_one(lambda part: self.represent_target(part["target"]), inputs)
        if self.accumulation == 1:
            with tf.GradientTape() as tape:
                cls = self.represent_anchors(inputs[0], kept_patches)
            anchors = [cls]
        else:
            anchors = one_by_one(lambda part: self.represent_anchors(part, kept_patches), inputs)
        own = tf.concat([tf.concat(targets, axis=0)[None], tf.concat(anchors, axis=1)], axis=0)

        parts, embeddings, cls_gradient, *head_gradients = self.loss_gradients(
            of_all_replicas(context, own), schedule["sharpening"]
        )
        cls_gradient = of_this_replica(context, cls_gradient)

        if self.accumulation == 1:
            gradients = tape.gradient(cls, self.encoder_variables, cls_gradient)
        else:
            inputs = [
                part | {"gradient": gradient}
                for part, gradient in zip(
                    inputs, tf.split(cls_gradient, self.accumulation, axis=1), strict=True
                )
            ]
            gradients = sum_one_by_one(
                lambda part: self.encoder_gradients(part, kept_patches), inputs
            )
        assignments = parts.pop("targets")
        gradients, (head_gradients, parts) = context.all_reduce(
            tf.distribute.ReduceOp.SUM,
            # All replicas have computed heads and loss: of these the mean is taken, so that
            # rounding that differs between devices leaves no difference between their weights.
            (gradients, scaled((head_gradients, parts), 1 / context.num_replicas_in_sync)),
        )
        return self.update(
            [*gradients, *head_gradients], parts | {"targets": assignments}, embeddings, schedule
        )

    @property
    def encoder_variables(self):
        """What the rows of cls depend on."""
        return [variable.value for variable in self.model.anchor_encoder.trainable_variables]

    def micro_batches(self, context, views):
        """Views of this replica -> list of those of its micro-batches, with their branch scales."""
        number, replicas = self.accumulation, context.num_replicas_in_sync
        parts = zip(
            tf.split(views["target"], number),
            tf.split(views["anchor"], number),
            tf.split(views["focal"], number, axis=1),
            strict=True,
        )
        names = ("target", "anchor", "focal")
        parts = [dict(zip(names, part, strict=True)) for part in parts]
        focal_views, own = views["focal"].shape[:2]
        # Drawn for the whole batch, as one device draws them, for these images to find their own.
        scales = self.model.draw_branch_scales(replicas * own, focal_views)
        if scales is None:
            return parts
        depth, branches, _ = scales.shape
        scales = tf.reshape(scales, (depth * branches * (1 + focal_views), -1, 1))
        scales = tf.split(of_this_replica(context, scales), number, axis=1)
        return [
            part | {"scales": tf.reshape(drawn, (depth, branches, -1))}
            for part, drawn in zip(parts, scales, strict=True)
        ]

    def _represent_anchors(self, views, kept_patches):
        """Views of a micro-batch -> cls [1 + focal views, n, width]."""
        cls = self.model.represent_anchors(
            views["anchor"], views["focal"], kept_patches, views.get("scales")
        )
        rows = tf.concat(list(cls), axis=0)
        return tf.reshape(rows, (-1, views["anchor"].shape[0], rows.shape[1]))

    def _encoder_gradients(self, views, kept_patches):
        """The same views with the gradient of their cls, "gradient" -> gradients of the encoder."""
        with tf.GradientTape() as tape:
            cls = self._represent_anchors(views, kept_patches)
        return tape.gradient(cls, self.encoder_variables, views["gradient"])

    def _loss_gradients(self, cls, sharpening):
        """Heads and loss of the whole batch.

        Args:
          cls: [2 + focal views, batch, width]: of the target, anchor and focal views.
          sharpening: scalar.

        Returns:
          what `MSN.loss` returns; target embeddings [batch, output_dim]; gradients of the cls of
          anchor and focal views, of the head's variables, and of the prototypes.
        """
        model = self.model
        targets, anchors = model.project_target(cls[0]), cls[1:]
        variables = [variable.value for variable in model.anchor_head.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(anchors)
            sizes = [anchors[0]]
            if anchors.shape[0] > 1:
                sizes.append(tf.reshape(anchors[1:], (-1, anchors.shape[2])))
            parts = model.loss(model.project_anchors(sizes), targets, sharpening)
        gradients = tape.gradient(parts["loss"], [anchors, *variables, model.prototypes.value])
        return parts, targets, *gradients


def of_all_replicas(context, own):
    """[k, n, width] on every replica -> [k, replicas * n, width], in the order of the replicas.

    A sum with zeros elsewhere: whatever the order in which an exchange gathers, this one is ours.
    """
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return own
    place = tf.one_hot(context.replica_id_in_sync_group, replicas, True, False, dtype=tf.bool)
    rows = tf.where(place[:, None, None], own[:, None], tf.zeros((), own.dtype))
    rows = context.all_reduce(tf.distribute.ReduceOp.SUM, rows)
    return tf.reshape(rows, (own.shape[0], -1, own.shape[2]))


def of_this_replica(context, rows):
    """[k, replicas * n, width] -> those of this replica [k, n, width]."""
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return rows
    shares = tf.reshape(rows, (rows.shape[0], replicas, -1, rows.shape[2]))
    return tf.gather(shares, context.replica_id_in_sync_group, axis=1)


def one_by_one(function, inputs):
    """List of the function's tensors, each computed when the one before is there."""
    outputs = []
    for value in inputs:
        with tf.control_dependencies(outputs[-1:]):
            outputs.append(function(value))
    return outputs


def sum_one_by_one(function, inputs):
    """Sums of the function's lists of tensors, each computed when those before are added."""
    sums = function(inputs[0])
    for value in inputs[1:]:
        with tf.control_dependencies(sums):
            new = function(value)
        sums = [total + term for total, term in zip(sums, new, strict=True)]
    return sums


def scaled(tensors, factor):
    """Every tensor of a nested structure times a number."""
    return tf.nest.map_structure(lambda tensor: tensor * tf.cast(factor, tensor.dtype), tensors)
