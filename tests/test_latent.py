"""The autoencoder: its bound against torch.distributions, what it sees, what is decoded."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import distributions as law

from ndsm.artefacts import autoencoder_file, files
from ndsm.artefacts.reading import Inputs
from ndsm.data.training_subset import training_subset
from ndsm.errors import Refused
from ndsm.method import autoencoder
from ndsm.method.autoencoder import Autoencoder
from ndsm.method.settings import AutoencoderSettings
from ndsm.stages import latent, sample

SETTINGS = {"type": "mlp", "latent": 4, "width": 64, "kl": 0.02}
SETTINGS |= {"steps": 600, "batch": 64, "learning_rate": 5e-3, "sees": "subset"}


def images(n: int) -> torch.Tensor:
    return torch.from_numpy(load_digits().data[:n] / 16).float()


@pytest.mark.parametrize(("kind", "pixels"), [("mlp", 64), ("conv", 64), ("conv", 784)])
def test_loss_is_the_negative_bound(kind, pixels):
    """Term by term as torch.distributions has it, at the same noise, in float64."""
    torch.manual_seed(0)
    network = Autoencoder(pixels, 3, kind, 8).double()
    with torch.no_grad():  # a q far from the prior, so that the divergence counts
        list(network.encoder.parameters())[-1].add_(torch.arange(6.0).double() - 2)
    x, noise = torch.rand(5, pixels).double().round(), torch.randn(5, 3).double()
    mean, log_variance = network.encoder(x).chunk(2, 1)
    q = law.Normal(mean, torch.exp(log_variance / 2))
    p = law.Bernoulli(logits=network.decoder(mean + q.stddev * noise))
    divergence = law.kl_divergence(q, law.Normal(torch.zeros(()), torch.ones(()))).sum(1)
    bits = -p.log_prob(x).sum(1)
    found = network.loss(x, noise, 0.3).item()
    assert found == pytest.approx((bits + 0.3 * divergence).mean().item(), rel=1e-6)
    assert abs((bits + divergence).mean().item() / found - 1) > 1e-3  # β forgotten is noticed


def test_codes_are_means_and_images_probabilities():
    torch.manual_seed(0)
    network = Autoencoder(64, 3, "conv", 8)
    x = torch.rand(7, 64)
    z = network.encode(x)
    torch.testing.assert_close(z, network.encoder(x)[:, :3])
    torch.testing.assert_close(network.decode(z), torch.sigmoid(network.decoder(z)))


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_training_reconstructs(kind):
    """Better by half than the best constant image, the mean; and the same twice."""
    x = images(1200)
    settings = AutoencoderSettings(**SETTINGS | {"type": kind, "width": 64 if kind == "mlp" else 8})
    network = autoencoder.train(x[:1000], settings, 0)
    with torch.no_grad():
        error = (network.decode(network.encode(x[1000:])) - x[1000:]).square().mean()
    again, other = (autoencoder.train(x[:1000], settings, seed) for seed in (0, 1))
    weights = [list(net.parameters()) for net in (network, again, other)]
    assert error < 0.5 * (x[1000:] - x[:1000].mean(0)).square().mean()
    assert all(torch.equal(a, b) for a, b in zip(*weights[:2], strict=True))
    assert not torch.equal(weights[0][0], weights[2][0])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    x, labels = images(400), torch.from_numpy(load_digits().target[:400])
    path = tmp_path / "data.safetensors"
    tensors = {"pool": x[:300], "pool_labels": labels[:300], "held_out": x[300:]}
    files.write_tensors(path, tensors, {})
    return path


def encode(data: Path, out: str, replica: list[int] | None, **changes: object) -> Path:
    path = data.with_name(f"{out}.safetensors")
    told = {"replica": replica, "autoencoder": SETTINGS | changes, "device": "cpu"}
    latent.main(data, path, told)
    return path


@pytest.mark.parametrize("changes", [{"learning_rate": 1e9}, {"kl": 1e308}], ids=str)
def test_an_autoencoder_that_diverges_writes_nothing(data, changes):
    """Weights that are not finite would be refused by whoever reads them, for ever."""
    with pytest.raises(Refused, match="lower autoencoder.learning_rate .* or autoencoder.kl"):
        encode(data, "diverged", None, steps=20, **changes)
    assert not list(data.parent.glob("diverged*"))


def test_the_strict_form_sees_the_subset_alone(data):
    """Other images in the pool change nothing; those of the subset do."""
    before = Inputs().tensors(encode(data, "before", [50, 1], steps=20))
    tensors = Inputs().tensors(data)
    chosen = training_subset({"rows": torch.arange(300)}, 50, 1, of="rows")
    outside = torch.ones(300).bool()
    outside[chosen] = False
    changed = tensors["pool"].clone()
    changed[outside] = torch.rand(250, 64)
    files.write_tensors(data, tensors | {"pool": changed}, {})
    after = Inputs().tensors(encode(data, "after", [50, 1], steps=20))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert len(before["pool"]) == 50
    torch.testing.assert_close(before["pool_labels"], tensors["pool_labels"][chosen])
    changed[chosen[0]] = 0
    files.write_tensors(data, tensors | {"pool": changed}, {})
    other = Inputs().tensors(encode(data, "other", [50, 1], steps=20))
    assert not torch.equal(before["encoder.0.weight"], other["encoder.0.weight"])


def test_codes_and_errors_are_those_of_the_written_network(data):
    path = encode(data, "all", None)
    network, tensors = autoencoder_file.read(Inputs(), path, "cpu"), Inputs().tensors(data)
    with torch.no_grad():
        codes = [network.encode(tensors[name]) for name in ("pool", "held_out")]
        gap = network.decode(network.encode(tensors["held_out"])) - tensors["held_out"]
    written = Inputs().tensors(path)
    torch.testing.assert_close([written["pool"], written["held_out"]], codes)
    measured = Inputs().record(path)["measured"]
    assert measured["rmse_held_out"] == pytest.approx(gap.square().mean().sqrt().item(), rel=1e-4)
    assert measured["rmse_seen"] < measured["rmse_held_out"]


def test_the_ceiling_is_the_training_images_decoded_by_their_own_autoencoder(data):
    """Each sample is the reconstruction of one of the replica's images, all about as often."""
    replicas = [[40, 0], [40, 1]]
    files = [encode(data, f"codes{k}", replica) for k, replica in enumerate(replicas)]
    out = data.with_name("samples.safetensors")
    told = {"experiment": "e", "method": "decoded", "replicas": replicas, "device": "cpu"}
    sampling = {"samples": 4000, "decoded": 3000}
    sample.main(out, told | {"sampling": sampling}, autoencoder=files)
    found = Inputs().tensors(out)
    assert found["samples"].dtype == torch.float16 and found["codes"].shape == (2, 4000, 4)
    assert found["samples"].shape == (2, 3000, 64)
    pool = Inputs().tensors(data)["pool"]
    for k, replica in enumerate(replicas):
        network, x = (
            autoencoder_file.read(Inputs(), files[k], "cpu"),
            training_subset({"pool": pool}, *replica),
        )
        with torch.no_grad():
            expected = network.decode(network.encode(x))
            own = network.decode(found["codes"][k, :3000])
        torch.testing.assert_close(found["samples"][k].float(), own, atol=1e-3, rtol=0)
        nearest, which = torch.cdist(found["samples"][k].float(), expected).min(1)
        assert nearest.max() < 0.01
        counts = np.bincount(which.numpy(), minlength=40)
        # Each count is binomial, mean 75, deviation 8.6; six of them, 40 counts: below 1e-7.
        assert abs(counts - 75).max() < 52
