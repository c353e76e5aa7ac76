"""face-api's model becomes one file that holds the same network; everything else is refused in one line."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facegen.models.identity import DlibFaceNet, load_identity, resize
from tools import convert_face_api as tool


def random_dlib(folder, **changes):
    """A folder as face-api has it, with random weights; returns the network that they are meant to make."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    net = DlibFaceNet().eval()
    weights, data = [], b""

    def store(name, value, quantized):
        nonlocal data
        entry = {"name": name, "shape": list(value.shape), "dtype": "float32"}
        if quantized:
            low, scale = float(value.min()), float((value.max() - value.min()) / 255) or 1.0
            raw = np.round((value - low) / scale).astype(np.uint8)
            value = (raw * scale + low).astype(np.float32)
            entry["quantization"] = {"dtype": "uint8", "scale": scale, "min": low}
            data += raw.tobytes()
        else:
            data += value.astype("<f4").tobytes()
        weights.append(entry)
        return torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))

    layers = {"conv32_down": "conv32_down"}
    for name in net.blocks:
        layers |= {f"{name}/conv1": f"blocks.{name}.conv1", f"{name}/conv2": f"blocks.{name}.conv2"}
    for theirs, ours in layers.items():
        conv = net.get_submodule(ours)
        filters = conv.weight.detach().permute(2, 3, 1, 0).numpy()
        out = filters.shape[3]
        filters = store(f"{theirs}/conv/filters", filters, theirs != "conv64_down/conv1")
        bias, shift = (store(f"{theirs}/{n}", rng.normal(0, 0.1, out), True) for n in ("conv/bias", "scale/biases"))
        gain = store(f"{theirs}/scale/weights", rng.uniform(1, 2, out), True)
        with torch.no_grad():
            conv.weight.copy_(filters.permute(3, 2, 0, 1) * gain[:, None, None, None])
            conv.bias.copy_(bias * gain + shift)
    with torch.no_grad():
        net.fc.weight.copy_(store("fc", net.fc.weight.detach().T.numpy(), True).T)
    folder.mkdir(exist_ok=True)
    half = len(data) // 2
    manifest = [{"weights": weights, "paths": ["face_recognition_model-shard1", "face_recognition_model-shard2"]}]
    (folder / "face_recognition_model-shard1").write_bytes(data[:half])
    (folder / "face_recognition_model-shard2").write_bytes(data[half:])
    (folder / tool.MANIFEST).write_text(json.dumps(manifest))
    return net


@pytest.mark.parametrize("given", ["", "model", f"model/{tool.MANIFEST}", "model/face_recognition_model-shard1"])
def test_folder_manifest_or_weights_become_one_file(tmp_path, given, capsys):
    net = random_dlib(tmp_path / "model")
    assert tool.main([str(tmp_path / given), str(tmp_path / "face-api.safetensors")]) == 0
    embed = load_identity(tmp_path / "face-api.safetensors")
    assert embed.name == "face-api"
    shown = torch.rand(2, 3, 96, 96) * 2 - 1
    x = (resize(shown, embed.crop, 150) + 1) * 127.5
    x = (x - torch.tensor([122.782, 117.001, 104.298])[:, None, None]) / 255
    with torch.no_grad():
        expected = F.normalize(net(x), dim=1)
    assert torch.allclose(embed(shown), expected, atol=1e-5)


def empty_folder(tmp_path):
    return tmp_path, "there is no face_recognition_model-weights_manifest.json"


def nested(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    return tmp_path / "a.json", "not a weights manifest"


def some_json(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}')
    return tmp_path / "a.json", "not a weights manifest"


def large_json(tmp_path):
    (tmp_path / "a.json").write_text("[" + " " * (tool.MAX_MANIFEST + 1))
    return tmp_path / "a.json", "more than"


def edited(tmp_path, change):
    random_dlib(tmp_path)
    manifest = json.loads((tmp_path / tool.MANIFEST).read_text())
    change(manifest[0])
    (tmp_path / tool.MANIFEST).write_text(json.dumps(manifest))
    return tmp_path


def another_network(tmp_path):
    return edited(tmp_path, lambda group: group["weights"][0].update(name="conv\n0/filters")), "the manifest of another network"


def repeated(tmp_path):
    return edited(tmp_path, lambda group: group["weights"].append(group["weights"][0])), "the manifest of another network"


def huge(tmp_path):
    return edited(tmp_path, lambda group: group["weights"][-1].update(shape=[10**9, 128])), "the manifest of another network"


def elsewhere(tmp_path):
    return edited(tmp_path, lambda group: group.update(paths=["../../secret"])), "not beside it"


def above(tmp_path):
    return edited(tmp_path, lambda group: group.update(paths=[".."])), "not beside it"


def many_times(tmp_path):
    return edited(tmp_path, lambda group: group["paths"].extend(["face_recognition_model-shard1"] * 1000)), "more than"


def absent_weights(tmp_path):
    return edited(tmp_path, lambda group: group.update(paths=["gone.bin"])), "No such file"


def infinite(tmp_path):
    return edited(tmp_path, lambda group: group["weights"][-1]["quantization"].update(scale=1e300)), "not finite"


def odd_type(tmp_path):
    return edited(tmp_path, lambda group: group["weights"][-1]["quantization"].update(dtype="O")), "not a weights manifest"


def cut(tmp_path):
    random_dlib(tmp_path)
    part = tmp_path / "face_recognition_model-shard2"
    part.write_bytes(part.read_bytes()[:-5])
    return tmp_path, "it describes"


REFUSED = [
    *(empty_folder, nested, some_json, large_json, another_network, repeated, huge, elsewhere, above),
    *(many_times, absent_weights, infinite, odd_type, cut),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_files_that_are_no_such_model_get_one_line(tmp_path, make, capsys):
    path, says = make(tmp_path)
    assert tool.main([str(path), str(tmp_path / "new.safetensors")]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1 and not (tmp_path / "new.safetensors").exists()
