"""The end of every tf.data pipeline here: batches that are ready before they are asked for."""

import tensorflow as tf


def prefetched(dataset: tf.data.Dataset, batches: int = 2) -> tf.data.Dataset:
    """Keeps so many batches ready, without tf.data's tuning of parallel calls and buffers.

    With tuning, who closes an iterator waits for the thread that does it, and that thread sleeps on
    for up to a minute if it is woken before TensorFlow calls the iterator cancelled (in 2.21,
    `~RootDataset::Iterator` waits for `Model::OptimizeLoop`): 6 of 20 iterators closed so.

    The option holds for what is chained on, too: a `map` that shall run in parallel has to say so.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(batches).with_options(options)
