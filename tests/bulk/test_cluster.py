"""On a real cluster of processes: the same labels, also when one of them dies."""

import os
import signal

import numpy as np
import pytest
from distributed import Client, LocalCluster

from napari_mobilesam.bulk.plane import segment_large
from napari_mobilesam.inference import engine

from .test_plane import nuclei

SETTINGS = {"tile": 256, "margin": 40, "input_size": 256, "threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dask")
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            local_directory=str(folder),
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def same_objects(labels, others):
    """Whether two label images differ by the numbers alone."""
    pairs = np.unique(np.stack([labels.ravel(), others.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(labels)) == len(np.unique(others))


@pytest.mark.timeout(180)
def test_a_cluster_that_loses_a_worker_gives_the_same_labels(
    client, float32_by_default, monkeypatch
):
    monkeypatch.setattr(engine, "_has_bfloat16", float32_by_default)
    image, _ = nuclei()
    here = segment_large(image, **SETTINGS)
    killed = []

    def kill_one(done, _total):
        if done == 2 and not killed:
            victim = next(iter(client.run(os.getpid).values()))
            os.kill(victim, getattr(signal, "SIGKILL", signal.SIGTERM))
            killed.append(victim)

    there = segment_large(image, client=client, progress=kill_one, **SETTINGS)
    assert killed
    assert same_objects(here.labels, there.labels)
    assert len(here) == len(there) > 60
