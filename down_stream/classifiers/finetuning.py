"""Fine-tuning: trains encoder and head; the best epoch on validation is kept."""

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from data.common.compiled_programs import xla_works
from data.common.errors import InputError
from data.common.logs import logger
from data.common.progress import ProgressBar
from data.common.stopping import StoppedError
from data.dataset.frame_index import FrameIndex
from data.finetuning import training_dataset
from down_stream import choices
from down_stream.classifiers.training_state import TrainingState
from msn.formats.files.feature_table import FeatureTable
from msn.formats.onnx_encoder import OnnxEncoder
from msn.networks.encoder import resample_of

OPTIMIZERS = dict(
    zip(
        choices.OPTIMIZERS,
        (
            keras.optimizers.Adam,
            keras.optimizers.AdamW,
            keras.optimizers.RMSprop,
            lambda **arguments: keras.optimizers.SGD(momentum=0.9, **arguments),
            keras.optimizers.SGD,
        ),
        strict=True,
    )
)


def finetune(
    model,
    index: FrameIndex,
    labels: np.ndarray,
    *,
    loss: Callable,
    label_smoothing: float = 0.0,
    weights: Mapping[int, float] | None = None,
    frame_weights: np.ndarray | None = None,
    augmentation: dict,
    optimizer: dict,
    epochs: int,
    batch_size: int,
    seed: int,
    validate: Callable[[], float] | None,
    score_name: str = "macro_f1",
    directory: Path | None = None,
    stop=None,
    unreadable: set[int] | None = None,
    is_frozen: bool = False,
) -> tuple[dict[str, list[float]], int]:
    """Trains encoder and head end to end, on augmented frames.

    Order and augmentation of the frames are functions of seed and step, and the update is compiled
    by XLA: training that goes on from a file ends as if it had never been interrupted.

    Args:
      model: encoder and head, as `down_stream.classifiers.frame_model` has them: with `encoder` and
      `classify`.
      index: n frames.
      labels: int [n] or [n, classes], as `loss` takes them; -1 where unknown.
      loss: function of `down_stream.classifiers.losses`.
      label_smoothing: argument of `loss`.
      weights: None, or {class: weight} for `loss`.
      frame_weights: None, or float [n] for `loss`, of few values.
      augmentation: arguments of `training_dataset`: transformation, layers, magnitude.
      optimizer: arguments of `create_optimizer` without `steps`; and "layer_decay", 1 for none,
        see `learning_rate_scales`.
      epochs, batch_size, seed: ints.
      validate: None, or a function that scores the model as it is, higher is better.
      score_name: of that score, in the history after "val_".
      directory: None, or where a file is written after every epoch, and read at the beginning.
      stop: None, or an object whose attribute `requested` turns true when training is to stop.
      unreadable: receives the rows that could not be read, by this call or those before it.
      is_frozen: whether the encoder stays as it is, and the rest of the model alone is trained.

    Returns:
      history, {name: one value per epoch}, and the index of the epoch whose weights the model has.

    Raises:
      InputError: the encoder cannot be trained, the loss is not finite, the disk is full.
      StoppedError: `stop` asked for it.
    """
    if is_frozen:
        model.encoder.trainable = False
    else:
        check_trainable(model.encoder)
    arguments = dict(optimizer)
    layer_decay = arguments.pop("layer_decay")
    batch_size = min(batch_size, len(index))
    steps = len(index) // batch_size
    in_loss = None if weights is None else [weights[place] for place in range(len(weights))]
    variables = model.trainable_variables
    optimizer = create_optimizer(**arguments, steps=steps * epochs)
    optimizer.build(variables)

    if frame_weights is not None:  # frames take theirs with them, as a place among the values
        values, places = np.unique(frame_weights, return_inverse=True)
        labels = np.column_stack([labels, places]).astype(np.int32)
        is_single = labels.shape[1] == 2

    def loss_of(images, labels):
        logits = model(images, training=not is_frozen)
        if frame_weights is None:
            return loss(labels, logits, in_loss, label_smoothing)
        place = tf.maximum(labels[:, -1], 0)  # -1 of frames that cannot be read, without a label
        labels = labels[:, 0] if is_single else labels[:, :-1]
        counts = tf.gather(tf.constant(values, logits.dtype), place)
        return loss(labels, logits, in_loss, label_smoothing, counts)

    def batches(first_step):
        return training_dataset(
            index,
            labels=labels,
            image_size=model.encoder.image_size,
            resample=resample_of(model.encoder),
            batch_size=batch_size,
            seed=seed,
            first_step=first_step,
            unreadable=unreadable,
            **augmentation,
        )

    scales = [1.0] * len(variables)
    if not is_frozen:
        scales = learning_rate_scales(model, variables, layer_decay)
    by_xla = xla_works() and not isinstance(model.encoder, OnnxEncoder)
    changed = variables if is_frozen else model.weights
    return fit(
        create_train_step(loss_of, variables, optimizer, scales, by_xla),
        batches,
        TrainingState(changed, optimizer, f"val_{score_name}", unreadable),
        steps=steps,
        epochs=epochs,
        validate=validate,
        directory=directory,
        stop=stop,
    )


def fit(train_step, batches, state: TrainingState, *, steps, epochs, validate, directory, stop):
    """The loop: updates, after each epoch validation and a checkpoint; at the end the best epoch.

    Args:
      train_step: what `create_train_step` made.
      batches: step -> dataset of (inputs, labels) from that step on, without end.
      state: as it is before the first update.
      steps: updates in an epoch.
      epochs, validate, directory, stop: as `finetune` takes them.

    Returns, raises:
      As `finetune`.
    """
    if directory is not None:
        state.restore(directory)
        check_same_choice(state)
    remaining = iter(batches(state.step))
    total = steps * epochs
    with ProgressBar(desc="training", total=total, initial=state.step, unit="step") as bar:
        while state.step < total:
            state.add(*train_step(*next(remaining)))
            bar.update()
            is_end = state.step % steps == 0
            if is_end:
                finish_epoch(state, steps, validate)
                last = {name: f"{values[-1]:.3f}" for name, values in state.history.items()}
                bar.show({name: text for name, text in last.items() if name != "accuracy"})
            stopping = stop is not None and stop.requested
            if directory is not None and (is_end or stopping):
                check_finite(state, steps)
                state.save(directory)
            if stopping:
                raise StoppedError(
                    f"stopped by {stop.requested} after step {state.step}; start again to go on"
                )
    state.take_best()
    logger.info("epoch %d of %d kept", state.best_epoch + 1, epochs)
    return state.history, state.best_epoch


def check_same_choice(state: TrainingState) -> None:
    """Raises `InputError` if the epochs of before were compared by another score than those now."""
    before = [name for name in state.history if name.startswith("val_")]
    if before and state.score not in before:
        raise InputError(
            f"the epochs so far were compared by {', '.join(before)}, not {state.score}; start "
            "with the same choose_by as then (score, or likelihood), or in another workdir"
        )


def finish_epoch(state: TrainingState, steps: int, validate) -> None:
    """Puts the epoch's mean loss and accuracy, and its score, into the history."""
    check_finite(state, steps)
    values = {name: float(value) / steps for name, value in state.sums.items()}
    if validate is not None:
        values[state.score] = validate()
    state.finish_epoch(values)


def check_finite(state: TrainingState, steps: int) -> None:
    """Raises `InputError` if the loss of the epoch so far is not finite."""
    loss = float(state.sums["loss"])
    if not np.isfinite(loss):
        raise InputError(
            f"the loss is {loss} in epoch {(state.step - 1) // steps + 1}; lower the learning rate"
        )


def create_train_step(loss_of, variables, optimizer, scales, by_xla=True):
    """Compiled update: (inputs, labels) -> loss and accuracy before it, scalars.

    Args:
      loss_of: (inputs, labels) -> loss, accuracy.
      variables: trained ones.
      optimizer: built for them.
      scales: list of floats, what the learning rate of each variable is multiplied by.
      by_xla: whether XLA compiles it; ONNX Runtime's part it cannot.
    """

    @tf.function(jit_compile=by_xla, autograph=False)
    def train_step(inputs, labels):
        with tf.GradientTape() as tape:
            loss, accuracy = loss_of(inputs, labels)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        scaled = [pair for pair in zip(variables, scales, strict=True) if pair[1] != 1]
        before = [tf.convert_to_tensor(variable.value) for variable, _ in scaled]
        optimizer.apply(gradients, variables)
        # What all of these optimizers change a weight by, decay included, is proportional to the
        # learning rate: to scale the change is to scale the rate, which Keras has one of.
        for (variable, scale), old in zip(scaled, before, strict=True):
            variable.assign(old + scale * (variable - old))
        return loss, accuracy

    return train_step


def learning_rate_scales(model, variables, layer_decay: float) -> list[float]:
    """What the learning rate of each variable is multiplied by: less, the nearer to the input.

    Layer-wise decay (Clark et al., arXiv 2003.10555, section 3.2; Bao et al., arXiv 2106.08254,
    appendix): 1 for the head and the last norm, then one factor more for every stage before them.

    Args:
      model: whose encoder has `stages`.
      variables: of the model.
      layer_decay: the factor, 0..1; 1 turns it off, 0 freezes all stages.
    """
    stages = model.encoder.stages
    power = {id(v): len(stages) - place for place, stage in enumerate(stages) for v in stage}
    return [layer_decay ** power.get(id(variable), 0) for variable in variables]


def check_trainable(encoder) -> None:
    """Raises `InputError` for an encoder that is frozen."""
    if isinstance(encoder, FeatureTable | OnnxEncoder):
        raise InputError(
            f"{encoder.file}: {encoder.kind}: can be probed, not fine-tuned; expected an encoder "
            "with weights, or --config.mode=probe, logistic or knn"
        )
    if not encoder.trainable_variables:
        beside = encoder.directory.parent / "checkpoint_0"
        raise InputError(
            f"{encoder.directory}: a SavedModel is frozen: it can be probed, not fine-tuned; "
            f"convert the weights it came with, as in: python -m msn.convert "
            f"--source={beside} --output=ENCODER"
        )


def create_optimizer(name: str, learning_rate: float, weight_decay: float, warmup, steps: int):
    """A Keras optimizer with linear warm-up and cosine decay to zero over `steps` updates.

    Args:
      name: one of OPTIMIZERS.
      learning_rate, weight_decay: floats, 0 included; the decay is decoupled and leaves biases
        and norms alone.
      warmup: share of the steps that warm up.
      steps: int.
    """
    warmup_steps = int(warmup * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup_steps else learning_rate,
        max(1, steps - warmup_steps),
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    optimizer = OPTIMIZERS[name](learning_rate=schedule, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
