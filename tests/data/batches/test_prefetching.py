import threading

import numpy as np
import tensorflow as tf

from data.batches.prefetching import prefetched
from data.cholec80_images import Cholec80ImagesLoader
from data.dataset.frame_index import load_index
from data.finetuning import training_dataset
from data.frames.opening import open_source
from data.pretraining import pretraining_dataset
from data.views.multi_crop import Views
from tests.test_import_rule import MODULES


def test_batches_are_ready_before_they_are_asked_for():
    fourth = threading.Event()

    def note(number):
        if number == 3:
            fourth.set()
        return np.int64(number)

    noted = tf.data.Dataset.range(9).map(lambda n: tf.numpy_function(note, [n], tf.int64))
    numbers = iter(prefetched(noted, 3))
    assert next(numbers) == 0
    assert fourth.wait(60)
    assert [int(number) for number in numbers] == list(range(1, 9))


def test_no_loader_has_a_thread_that_its_end_may_have_to_wait_for(small_dataset):
    index, sizes = load_index(small_dataset), {"image_size": 16, "batch_size": 4}
    source = open_source("images", small_dataset)
    loaders = [
        pretraining_dataset(source, Views(), batch_size=4, seed=0, first_step=0, last_step=9),
        Cholec80ImagesLoader(small_dataset, index.videos, 4).get_tf_dataset(),
        training_dataset(index, **sizes, seed=0),
    ]
    assert [loader.options().autotune.enabled for loader in loaders] == [False, False, False]


def test_every_pipeline_ends_in_prefetched():
    sources = list(MODULES.values())
    found = [file.name for file in sources if ".prefetch(" in file.read_text()]
    assert found == ["prefetching.py"]
