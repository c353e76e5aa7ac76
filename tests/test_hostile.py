"""Hostile and damaged network files: each is refused in one line, runs nothing, and costs little time and memory."""

import copyreg
import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import textwrap
import time
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import snapshots
import torch
from safetensors.torch import save_file

from facegen.files import InputError
from facegen.models import pretrained, stylegan2, stylegan3

# FACEGEN_FUZZ=10000 is the full run, half a minute.
MUTATIONS = int(os.environ.get("FACEGEN_FUZZ", "1500"))
# The name that a hostile file would create; every load runs in a folder of its own.
SENTINEL = "it-ran"
SHELL = f"echo ran > {SENTINEL}"
PYTHON = f"open('{SENTINEL}', 'w').close()"


P61 = 2**61 - 1  # the multiples of this number have one hash


class Call:
    """Pickled as a call of the global "module:name"."""

    def __init__(self, name: str, *args: object) -> None:
        self.name, self.args = name, args

    def __reduce__(self):
        return snapshots.function(*self.name.split(":")), self.args


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def one_call(module: str, name: str, argument: str) -> bytes:
    """A whole pickle of one call, by the older and shorter way of naming a global."""
    return b"\x80\x03c" + f"{module}\n{name}\n".encode() + text(argument) + b"\x85R."


def tiny():
    torch.manual_seed(0)
    narrow = {"channel_base": 16, "channel_max": 2}
    return (
        stylegan2.Generator(2, 0, 2, 8, 1, {"num_layers": 1}, narrow),
        stylegan2.Discriminator(0, 8, 1, **narrow, epilogue_kwargs={"mbstd_group_size": 1}),
    )


def tree() -> dict:
    """A valid snapshot as the objects that `snapshots.dump` writes."""
    G, D = tiny()
    return {
        "G": snapshots.official(G, snapshots.ada_form(G)),
        "D": snapshots.official(D, snapshots.ada_form(D)),
        "G_ema": snapshots.official(G, snapshots.inline_form(G)),
        "augment_pipe": snapshots.augment_pipe(0.5),
        "training_set_kwargs": dict(snapshots.TRAINING_SET),
    }


def changed(change) -> bytes:
    """The snapshot after `change(tree)`."""
    made = tree()
    change(made)
    return snapshots.dump(made)


def with_setting(value: object, *names: str) -> bytes:
    """The snapshot whose G_ema names an argument of its constructor so."""

    def change(made):
        group = made["G_ema"].state["_init_kwargs"]
        for name in names[:-1]:
            group = group.setdefault(name, {})
        group[names[-1]] = value

    return changed(change)


def with_weight(value: object) -> bytes:
    def change(made):
        made["G_ema"].state["_modules"]["mapping"].state["_modules"]["fc0"].state["_parameters"]["weight"] = value

    return changed(change)


def nested(instructions: bytes = b"", numel: int = 4, data: bytes = b"\0" * 16, kind: bytes = b"FloatStorage") -> bytes:
    """A nested torch save, by hand; `instructions` build the object in place of the one storage."""
    storage = b"(" + text("storage") + b"ctorch\n" + kind + b"\n" + text("1") + text("cpu")
    number = b"\x8a\x08" + struct.pack("<q", numel)
    system = b"}(" + text("protocol_version") + b"M\xe9\x03" + text("little_endian") + b"\x88u"
    parts = (
        b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19",
        b"M\xe9\x03",
        system,
        instructions or storage + number + b"NtQ",
        b"]" + text("1") + b"a",
    )
    return b"".join(b"\x80\x02" + part + b"." for part in parts) + struct.pack("<q", numel) + data


def tensor(save: bytes, offset: object = 0, size: object = (2, 2), stride: object = (2, 1)) -> Call:
    storage = Call("torch.storage:_load_from_bytes", save)
    view = Call("torch._utils:_rebuild_tensor_v2", storage, offset, size, stride, False, OrderedDict())
    return Call("torch._utils:_rebuild_parameter", view, True, OrderedDict())


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def torch_zip(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def laughs(value: object, levels: int = 40) -> list:
    """2 ** levels copies of a value, in a few bytes of file."""
    for _ in range(levels):
        value = [value, value]
    return value


def calls() -> dict[str, bytes]:
    """Calls of what no snapshot needs. The first ones are proven to work where nobody refuses them."""
    head = b"\x80\x04"
    made = {
        "os.system": one_call("os", "system", SHELL),
        "posix.system": one_call("posix", "system", SHELL),
        "builtins.eval": one_call("builtins", "eval", PYTHON),
        "builtins.exec": one_call("builtins", "exec", PYTHON),
        "getattr chain": head
        + (b"cbuiltins\ngetattr\ncbuiltins\n__import__\n" + text("os") + b"\x85R" + text("system") + b"\x86R")
        + (text(SHELL) + b"\x85R."),
        "dotted global": head + text("os") + text("path.os.system") + b"\x93" + text(SHELL) + b"\x85R.",
        "INST": b"(S'" + SHELL.encode() + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + text(SHELL) + b"o.",
        "EXT1": head + b"\x82\x01" + text(SHELL) + b"\x85R.",
        "EXT2": head + b"\x83\x01\x00" + text(SHELL) + b"\x85R.",
        "EXT4": head + b"\x84\x01\x00\x00\x00" + text(SHELL) + b"\x85R.",
        "subprocess.Popen": head + b"csubprocess\nPopen\n(" + text(SHELL) + b"J\xff\xff\xff\xffNNNNN\x88\x88tR.",
    }
    for name in (
        *("nt.system", "os.popen", "builtins.getattr", "builtins.open", "builtins.__import__", "importlib.import_module"),
        *("runpy.run_path", "operator.attrgetter", "functools.partial", "pickle.loads", "_pickle.loads", "torch.load"),
        *("torch.hub.load", "torch.jit.load", "torch._utils._rebuild_tensor", "torch.storage.torch.load", "numpy.load"),
        *("numpy.core.multiarray.fromfile", "dnnlib.util.open_url", "dnnlib.util.get_obj_by_name", "ctypes.CDLL"),
        *("torch_utils.persistence._src_to_module", "collections.OrderedDict.fromkeys", "webbrowser.open", "code.interact"),
    ):
        made[name] = one_call(*name.rsplit(".", 1), SHELL)
    made["a call in the place of a setting"] = with_setting(Call("os:system", SHELL), "z_dim")
    made["a call among the hooks"] = changed(
        lambda t: t["G"].state["_forward_hooks"].update({0: Call("builtins:eval", PYTHON)})
    )
    made["a call beside the networks"] = changed(lambda t: t.update({"more": Call("os:system", SHELL)}))
    made["a call as a source text"] = snapshots.dump(
        {"G_ema": Call("torch_utils.persistence:_reconstruct_persistent_obj", {"module_src": Call("os:system", SHELL)})}
    )
    return made


def machinery() -> dict[str, bytes]:
    """Pickle instructions that a snapshot does not have, or not so."""
    head, evil = b"\x80\x04", b"}(" + text("__class__") + b"cos\nsystem\nu"
    harmless = b"}(" + text("__class__") + text("x") + text("__setstate__") + text("y") + b"u"
    dtype = b"cnumpy\ndtype\n" + text("f8") + b"\x89\x88\x87R"
    layer = snapshots.dump(tree()["G"], 3)
    return {
        "a persistent id": head + text("storage") + b"Q.",
        "a persistent id in a line": b"\x80\x02Pstorage\n.",
        "a storage's persistent id outside": head
        + b"("
        + text("storage")
        + b"ctorch\nFloatStorage\n"
        + text("1")
        + text("cpu")
        + b"K\x04NtQ.",
        "NEWOBJ": head + b"cos\nsystem\n" + text(SHELL) + b"\x85\x81.",
        "NEWOBJ of a set": head + b"cbuiltins\nset\n]\x85\x81.",
        "NEWOBJ_EX": head + b"ccollections\nOrderedDict\n)}\x92.",
        "BUILD of a dict": head + b"}" + harmless + b"b.",
        "BUILD of an OrderedDict": head + b"ccollections\nOrderedDict\n)R" + evil + b"b.",
        "BUILD of a layer": layer[:-1] + harmless + b"b.",
        "BUILD of a layer by a tuple": layer[:-1] + b")b.",
        "BUILD of a global": head + b"ccollections\nOrderedDict\n" + harmless + b"b.",
        "BUILD of a dtype by a dict": head + dtype + harmless + b"b.",
        "BUILD of a dtype by slots": head + dtype + b"N" + harmless + b"\x86b.",
        "BUILD of a tuple": head + b")" + harmless + b"b.",
        "a string of Python 2": b"\x80\x02U\x01a.",
        "DUP": head + b"}20.",
        "a bytearray": head + b"\x96" + struct.pack("<Q", 1 << 60) + b"x.",
        "an out-of-band buffer": b"\x80\x05\x97.",
        "protocol 6": b"\x80\x06}.",
        "a global that is not text": head + b"K\x01K\x02\x93.",
        "a call of something else": head + b"}" + b")R.",
        "arguments that are not a tuple": head + b"ccollections\nOrderedDict\n]R.",
        "a tuple as a key": head + b"})NsK\x01.",
        "a key without a value": head + b"}(" + text("a") + b"u.",
        "items of a list": head + b"](" + text("a") + b"Nu.",
        "appending to a dict": head + b"}Na.",
        "adding to a list": head + b"](\x90.",
        "a set of numbers": head + b"\x8f(K\x01\x90.",
        "an OrderedDict filled by its constructor": head + b"ccollections\nOrderedDict\n]\x85R.",
        "an unfinished object": head + b"}(.",
        "two objects": head + b"}}.",
        "nothing": head + b".",
        "an empty stack": head + b"R.",
        "a mark that was not set": head + b"u.",
        "a memo entry that was not stored": head + b"h\x07.",
        "a memo of vast indices": head + b"}r\xff\xff\xff\xffr\xfe\xff\xff\x7f.",
        "a global without an end": head + b"c" + b"x" * 100_000,
        "a global of strange letters": head + text("os\n\x1b[2J") + text("\u202esystem\r\n") + b"\x93.",
        "another pickle behind": snapshots.dump(tree()) + one_call("os", "system", SHELL),
        "rubbish behind": snapshots.dump(tree()) + b"\0" * 1000,
    }


def bombs() -> dict[str, bytes]:
    """Much from little."""
    head = b"\x80\x04"

    def within_itself(made):
        made["G_ema"].state["_modules"].update({name: made["G_ema"].state["_modules"]["mapping"] for name in "abcdefgh"})
        layer = made["G_ema"].state["_modules"]["mapping"]
        for _ in range(30):
            layer = snapshots.Layer("MappingNetwork", layer.state | {"_modules": OrderedDict(a=layer, b=layer, c=layer)})
        made["G_ema"].state["_modules"]["mapping"] = layer

    def many_children(made):
        layer = made["G_ema"].state["_modules"]["mapping"]
        made["G_ema"].state["_modules"].update({f"layer{i}": layer for i in range(50_000)})

    return {
        "laughs in the settings": changed(lambda t: t["training_set_kwargs"].update(path=laughs("ha"))),
        "laughs in an argument": with_setting(laughs(1.0), "resample_filter"),
        "laughs in the memo": head + b"(]\x94" + b"".join(b"](h%ch%ce\x94" % (i, i) for i in range(200)) + b"t.",
        "layers within layers": changed(within_itself),
        "a layer 50,000 times": changed(many_children),
        "lists within lists": head + b"]" * 240_000 + b"a" * 239_999 + b".",
        "tuples within tuples": head + b")" + b"\x85" * 450_000 + b".",
        "marks within marks": head + b"(" * 400_000,
        "a setting within itself": head + b"}\x94(" + text("G_ema") + b"h\x00u.",
        "too many instructions": head + b"}" * 3_000_000 + b".",
        "too many globals": head + b"ccollections\nOrderedDict\n" * 600_000 + b".",
        "too many sets": head + b"\x8f\x94" * 600_000 + b".",
        "a set made over and over": head
        + (b"cbuiltins\nset\n\x94](" + text("a") + b"\x94" + b"h\x01" * 100_000 + b"e\x94")
        + b"h\x00h\x02\x85R" * 60_000
        + b".",
        "keys of one hash": head
        + b"}("
        + b"".join(b"\x8a\x0a" + (i * P61).to_bytes(10, "little") + b"N" for i in range(99_999))
        + b"u.",
        "too much text": head + (b"X" + struct.pack("<I", 4 << 20) + b"\xff" * (4 << 20) + b"\x94") * 20 + b".",
        "a vast text": head + b"\x8d" + struct.pack("<Q", 1 << 62) + b"x.",
        "vast bytes": head + b"\x8e" + struct.pack("<Q", 1 << 63) + b"x.",
        "a vast frame": head + b"\x95" + struct.pack("<Q", (1 << 64) - 1) + b"}.",
        "frames without end": head + (b"\x95" + struct.pack("<Q", 0)) * 1_000_000 + b".",
        "a vast LONG4": head + b"\x8b" + struct.pack("<i", 1 << 30) + b"\xff" * 1000 + b".",
        "a negative LONG4": head + b"\x8b\xff\xff\xff\xff.",
        "a LONG1 of 255 bytes": head + b"\x8a\xff" + b"\x7f" * 255 + b".",
        "a number in decimal": b"\x80\x02I" + b"9" * 1_000_000 + b"\n.",
    }


def tensors() -> dict[str, bytes]:
    """Weights that are not what they say. The honest one is a [2, 2] of float32."""
    good = nested()
    storage = Call("torch.storage:_load_from_bytes", nested(numel=1 << 16, data=b"\0" * (4 << 16)))
    views = [Call("torch._utils:_rebuild_tensor_v2", storage, 0, (1 << 16,), (1,), False, {}) for _ in range(1000)]
    return {
        "10 GB of zero strides": with_weight(tensor(good, size=(50_000, 50_000), stride=(0, 0))),
        "10 GB in a header": with_weight(
            tensor(nested(numel=2_500_000_000, data=b""), size=(50_000, 50_000), stride=(50_000, 1))
        ),
        "a header of negative size": with_weight(tensor(nested(numel=-4))),
        "a header of vast size": with_weight(tensor(nested(numel=1 << 62))),
        "a view beyond its storage": with_weight(tensor(good, offset=1)),
        "a stride beyond its storage": with_weight(tensor(good, stride=(4, 1))),
        "a negative offset": with_weight(tensor(good, offset=-1)),
        "a negative stride": with_weight(tensor(good, offset=3, stride=(-2, -1))),
        "a size that wraps round": with_weight(tensor(good, size=(1 << 33, 1 << 33), stride=(0, 0))),
        "a size that is text": with_weight(tensor(good, size=("2", "2"))),
        "a size that is a list": with_weight(tensor(good, size=[2, 2], stride=[2, 1])),
        "a size of a thousand": with_weight(tensor(good, size=(1,) * 1000, stride=(1,) * 1000)),
        "strides of another number": with_weight(tensor(good, stride=(1,))),
        "a storage that is a dict": with_weight(Call("torch._utils:_rebuild_tensor_v2", {}, 0, (2, 2), (2, 1), False, {})),
        "a parameter that is a number": with_weight(Call("torch._utils:_rebuild_parameter", 1.0, True, {})),
        "a weight that is a list": with_weight([tensor(good)]),
        "another shape": with_weight(torch.nn.Parameter(torch.zeros(3, 2))),
        "whole numbers": with_weight(torch.zeros(2, 2, dtype=torch.int64)),
        "a missing weight": with_weight(None),
        "one storage in many weights": changed(lambda t: t.update(more=views)),
        "a nested reduce": with_weight(tensor(nested(b"cos\nsystem\n" + text(SHELL) + b"\x85R"))),
        "a nested plain pickle": with_weight(tensor(one_call("os", "system", SHELL))),
        "a nested eval in the header": with_weight(tensor(one_call("builtins", "eval", PYTHON) + nested())),
        "a nested layer": with_weight(tensor(nested(b"(" + text("module") + b"cos\nsystem\nNNtQ"))),
        "a nested storage of another kind": with_weight(tensor(nested(kind=b"UntypedStorage"))),
        "a nested storage of no kind": with_weight(tensor(nested(kind=b"os"))),
        "a nested zip": with_weight(tensor(torch_zip(torch.zeros(2, 2)))),
        "a nested zip bomb": with_weight(tensor(zipped("archive/data.pkl", b"\0" * 50_000_000))),
        "a nested save of a tensor": with_weight(tensor(legacy(torch.zeros(2, 2)))),
        "a nested save cut short": with_weight(tensor(good[:-1])),
        "a nested save with more behind": with_weight(tensor(good + b"\0")),
        "a nested save of nothing": with_weight(tensor(b"")),
        "a nested save in a nested save": with_weight(tensor(nested(b"ctorch.storage\n_load_from_bytes\nC\x01x\x85R"))),
        "a nested tar": with_weight(tensor(b"storages" + b"\0" * 1000)),
        "a nested save that is text": with_weight(Call("torch.storage:_load_from_bytes", "x")),
    }


def legacy(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def numbers() -> dict[str, bytes]:
    """NumPy's objects, which only ever hold plain numbers."""

    def scalar(code: str, content: object, order: bytes = b"") -> bytes:
        dtype = b"cnumpy\ndtype\n" + text(code) + b"\x89\x88\x87R" + order
        value = b"C" + bytes([len(content)]) + content if isinstance(content, bytes) else text(content)
        return b"\x80\x03}(" + text("G") + b"cnumpy._core.multiarray\nscalar\n" + dtype + value + b"\x86Ru."

    fields = b"(K\x03" + text("<") + b"N" + text("abc") + b"NJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n"
    return {
        "an object dtype": scalar("O8", b"12345678"),
        "a text dtype": scalar("S100000000", b"x"),
        "a record dtype": scalar("V8", b"12345678", fields),
        "a dtype with fields": scalar("f8", b"12345678", fields),
        "a number of another length": scalar("f8", b"1234"),
        "a number of text": scalar("f8", "12345678"),
        "an array of another class": b"\x80\x03" + array + b"cos\nsystem\nK\x00\x85C\x01b\x87R.",
        "an array of a known class": b"\x80\x03" + array + b"ccollections\nOrderedDict\nK\x00\x85C\x01b\x87R.",
        "an array called": b"\x80\x03cnumpy\nndarray\n" + text(SHELL) + b"\x85R.",
        "an argument that is an array": with_setting(snapshots.Sizes([8, 8], "numpy.core.multiarray"), "img_resolution"),
        "a weight that is an array": with_weight(snapshots.Sizes([8, 8], "numpy.core.multiarray")),
        "an argument that is a layer": changed(lambda t: t["G_ema"].state["_init_kwargs"].update(z_dim=t["D"])),
    }


def networks() -> dict[str, bytes]:
    """Snapshots in good form of networks that cannot be."""
    G3 = stylegan3.Generator(2, 0, 2, 16, 1, channel_base=16, channel_max=2, num_layers=2, num_critical=1)

    def stylegan3_with(**arguments):
        return snapshots.dump({"G_ema": snapshots.official(G3, snapshots.ada_form(G3) | arguments)})

    def state(part, **entries):
        return changed(lambda t: t[part].state.update(entries))

    made = {
        "a Generator in D's place": changed(lambda t: t.update(D=t["G"])),
        "a Discriminator in G's place": changed(lambda t: t.update(G_ema=t["D"])),
        "an AugmentPipe in G's place": changed(lambda t: t.update(G_ema=t["augment_pipe"])),
        "a layer in G's place": changed(lambda t: t.update(G_ema=t["G"].state["_modules"]["mapping"])),
        "a dict in G's place": changed(lambda t: t.update(G_ema={"a": 1})),
        "no G": changed(lambda t: (t.pop("G"), t.pop("G_ema"))),
        "G is None": changed(lambda t: t.update(G=None, G_ema=None)),
        "a list of networks": snapshots.dump(list(tree().values())),
        "a layer called os.system": changed(lambda t: setattr(t["G"], "class_name", "os.system")),
        "a layer called a list": changed(lambda t: setattr(t["G"], "class_name", ["Generator"])),
        "a network of another form": snapshots.dump(
            {"G": Call("torch_utils.persistence:_reconstruct_persistent_obj", {"type": "function", "state": {}})}
        ),
        "a network without a state": snapshots.dump({"G": Call("torch_utils.persistence:_reconstruct_persistent_obj", {})}),
        "a network of two arguments": snapshots.dump(
            {"G": Call("torch_utils.persistence:_reconstruct_persistent_obj", {}, {})}
        ),
        "parameters in a list": state("G_ema", _parameters=[1]),
        "modules that are a number": state("G_ema", _modules=7),
        "modules that are weights": state("G_ema", _modules={"synthesis": torch.zeros(1)}),
        "buffers with numbers for names": state("G_ema", _buffers={1: torch.zeros(1)}),
        "sets of buffers that are a list": state("G_ema", _non_persistent_buffers_set=[]),
        "one more weight": state("G_ema", _buffers={"more": torch.zeros(1)}),
        "arguments in a list": state("G_ema", _init_kwargs=[]),
        "too many arguments by position": state("G_ema", _init_args=(1,) * 9),
        "no arguments": state("G_ema", _init_kwargs={}),
        "D without arguments": state("D", _init_kwargs={}),
        "augment_pipe of many numbers": changed(lambda t: t["augment_pipe"].state["_buffers"].update(p=torch.zeros(1000))),
        "augment_pipe that is a number": changed(lambda t: t.update(augment_pipe=0.5)),
        "a training set that is a list": changed(lambda t: t.update(training_set_kwargs=[torch.zeros(1)])),
        "a training set of long text": changed(lambda t: t["training_set_kwargs"].update(path="x" * 100_000)),
        "layers of StyleGAN3 without its arguments": stylegan3_with(num_layers=3),
        "filters of any size": stylegan3_with(filter_size=10**6),
        "many layers of StyleGAN3": stylegan3_with(num_layers=10**9),
        "as many critical layers": stylegan3_with(num_layers=4, num_critical=4),
        "a cutoff of nothing": stylegan3_with(first_cutoff=float("nan")),
        "a stopband below the cutoff": stylegan3_with(last_stopband_rel=1e-9),
        "a huge StyleGAN3": stylegan3_with(img_resolution=2048, channel_max=16384, channel_base=1 << 22, num_layers=64),
        "a huge StyleGAN3 picture": stylegan3_with(img_resolution=10**9),
    }
    for value, *names in (
        *((10**9, "img_resolution"), (1 << 30, "img_resolution"), (2048, "img_resolution"), (12, "img_resolution")),
        *((-8, "img_resolution"), (8.0, "img_resolution"), ("8", "img_resolution"), (10**9, "img_channels")),
        *((10**12, "c_dim"), (-1, "z_dim"), (True, "z_dim"), (None, "w_dim"), (10**6, "w_dim"), (1 << 60, "z_dim")),
        *((10**9, "mapping_kwargs", "num_layers"), (float("nan"), "mapping_kwargs", "lr_multiplier")),
        *(([], "mapping_kwargs"), ("eval", "mapping_kwargs", "activation"), (1, "mapping_kwargs", "device")),
        *((10**18, "channel_base"), (0, "channel_base"), (10**9, "channel_max"), (-1, "conv_clamp"), ("a", "num_fp16_res")),
        *(([1.0] * 100_000, "resample_filter"), ([], "resample_filter"), (["1"], "resample_filter"), ("os", "architecture")),
        *(
            ({"__class__": "x"}, "synthesis_kwargs"),
            (5, "synthesis_kwargs"),
            ("cuda", "device"),
            ("x\ny\x1b[2J", "class\nname"),
        ),
    ):
        made[f"{'.'.join(names)!a}={str(value)[:20]!a}"] = with_setting(value, *names)
    return made


def containers() -> dict[str, bytes]:
    """Other kinds of file, and ours with settings to match the rest here."""
    G, _ = tiny()
    made = {
        "a zip in place of a pickle": zipped("data.pkl", one_call("os", "system", SHELL)),
        "a zip bomb": zipped("archive/data.pkl", b"\0" * 100_000_000),
        "a torch file": torch_zip({"G_ema": torch.zeros(2)}),
        "a torch file that runs": zipped("a/data.pkl", one_call("os", "system", SHELL)),
        "an older torch file that runs": nested(b"cos\nsystem\n" + text(SHELL) + b"\x85R"),
        "an older torch file": legacy({"a": torch.zeros(2)}),
        "text": b"this is not a network\n" * 100,
        "a web page": b"<!doctype html><title>404</title>",
        "zeros": b"\0" * 4096,
        "a plain pickle": pickle.dumps({"G": 1}),
        "a pickle of protocol 0": pickle.dumps({"G": 1}, 0),
    }
    entry = {"class": "stylegan2.Generator", "settings": G.settings}

    def ours(change=None, about=None, tensors=None):
        networks = {"G": json.loads(json.dumps(entry))}
        if change:
            change(networks["G"])
        written = about if about is not None else json.dumps({"networks": networks, "info": {}})
        weights = {f"G.{k}": v.contiguous() for k, v in G.state_dict().items()} if tensors is None else tensors
        file = Path(f"{SENTINEL}.safetensors")
        try:
            save_file(weights, file, {pretrained.FORMAT: written})
            return file.read_bytes()
        finally:
            file.unlink(missing_ok=True)

    header = json.dumps({"G.a": {"dtype": "F32", "shape": [50_000, 50_000], "data_offsets": [0, 10_000_000_000]}}).encode()
    return made | {
        "ours of a vast size": ours(lambda e: e["settings"].update(img_resolution=10**9)),
        "ours of a size without its weights": ours(lambda e: e["settings"].update(img_resolution=2048)),
        "ours of another class": ours(lambda e: e.update({"class": "os.system"})),
        "ours of a class that is a list": ours(lambda e: e.update({"class": ["stylegan2.Generator"]})),
        "ours with another argument": ours(lambda e: e["settings"].update(device="cuda")),
        "ours with a long word": ours(lambda e: e["settings"]["synthesis_kwargs"].update(architecture="x" * 900_000)),
        "ours with many layers": ours(lambda e: e["settings"]["mapping_kwargs"].update(num_layers=10**9)),
        "ours with settings in a list": ours(lambda e: e.update(settings=[1, 2])),
        "ours with a wide DCGAN": ours(lambda e: e.update({"class": "dcgan.Generator", "settings": {"conv_dim": 10**9}})),
        "ours with a deep U-Net": ours(lambda e: e.update({"class": "cyclegan.UnetGenerator", "settings": {"downs": 10**6}})),
        "ours without a description": ours(about="{}"),
        "ours with brackets within brackets": ours(about="[" * 500_000),
        "ours with a description of 3 MB": ours(about=json.dumps({"networks": {}, "info": {"x": [[]] * 1_000_000}})),
        "ours with a long number": ours(about='{"networks": ' + "9" * 100_000 + "}"),
        "ours without networks": ours(about='{"networks": {}, "info": {}}'),
        "ours with another description": ours(about='{"networks": [1], "info": {}}'),
        "ours with whole numbers": ours(
            tensors={f"G.{k}": torch.zeros(v.shape, dtype=torch.int64) for k, v in G.state_dict().items()}
        ),
        "ours of 10 GB": struct.pack("<Q", len(header)) + header + b"\0" * 100,
        "ours with a vast header": struct.pack("<Q", 1 << 62) + b"{" + b"\0" * 100,
        "ours with a header of 50 MB": struct.pack("<Q", 50_000_000) + b'{"a":' + b" " * 50_000_000,
    }


def truncations() -> dict[str, bytes]:
    whole = snapshots.dump(tree())
    return {f"cut at {percent} %": whole[: len(whole) * percent // 100] for percent in range(0, 100, 5)}


def hostile() -> dict[str, bytes]:
    return calls() | machinery() | bombs() | tensors() | numbers() | networks() | containers() | truncations()


LOADER = """
    import copyreg, json, os, re, resource, sys, time
    import torch
    from facegen.files import InputError
    from facegen.models import foreign, official, pretrained

    def memory(entry):
        with open("/proc/self/status") as file:
            return int(re.search(entry + r":\\s*(\\d+) kB", file.read())[1]) * 1024

    torch.set_num_threads(1)
    copyreg.add_extension("os", "system", 1)
    pretrained.load(sys.argv[1])  # so that what is only made once is made
    # 1 GB more than now, even of memory that is never touched
    resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + 1_000_000_000, -1))
    for name in json.loads(sys.stdin.read()):
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak counts from here
        before, start = memory("VmRSS"), time.process_time()
        try:
            kind, message = "loaded", str(pretrained.load(name).info)
        except BaseException as error:
            kind, message = type(error).__name__, str(error)
        seconds = time.process_time() - start  # the machine may be busy with other things
        print(json.dumps([name, kind, message, seconds, (memory("VmHWM") - before) / 1e9]), flush=True)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of memory is read from /proc, which is Linux's")
def test_hostile_files_are_refused_cheaply_and_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.pkl").write_bytes(snapshots.dump(tree()))
    names = {}
    for number, (name, content) in enumerate(hostile().items()):
        file = f"{number}.pkl"
        (tmp_path / file).write_bytes(content)
        names[file] = name
    for file, size in (("sparse.pkl", 3 << 30), ("sparse.safetensors", 3 << 30)):  # much on paper, nothing on the disk
        with open(tmp_path / file, "wb") as sparse:
            sparse.write(b"\x80\x04" if file.endswith("pkl") else struct.pack("<Q", 2 << 30) + b"{")
            sparse.truncate(size)
        names[file] = file
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LOADER), "good.pkl"],
        input=json.dumps(list(names)),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(pretrained.__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(names) > 200, done.stderr[-2000:]
    wrong = []
    for file, kind, message, seconds, grown in results:
        one_line = "\n" not in message and message.isprintable() and 10 < len(message) < 400 and file in message
        if kind != "InputError" or not one_line or seconds > 2 or grown > 1:
            wrong.append((names[file], kind, message[:300], round(seconds, 2), round(grown, 2)))
    assert not wrong, wrong
    assert not (tmp_path / SENTINEL).exists()
    slowest, largest = max(results, key=lambda r: r[3]), max(results, key=lambda r: r[4])
    print(
        f"\n{len(results)} hostile files: slowest {slowest[3]:.2f} s ({names[slowest[0]]}), "
        f"largest {1000 * largest[4]:.0f} MB ({names[largest[0]]})"
    )


def test_the_hostile_calls_would_work_elsewhere(tmp_path, monkeypatch):
    """Proof that the sentinel means something: Python's own pickle runs these, and `load` does not."""
    monkeypatch.chdir(tmp_path)
    copyreg.add_extension("os", "system", 1)
    known = calls()
    try:
        _prove(known, tmp_path)
    finally:
        copyreg.remove_extension("os", "system", 1)
        copyreg.clear_extension_cache()


def _prove(known, tmp_path):
    for name in list(known)[:12]:
        if name == "posix.system" and sys.platform == "win32":
            continue
        result = pickle.loads(known[name])
        if hasattr(result, "wait"):
            result.wait()
        assert (tmp_path / SENTINEL).exists(), name
        (tmp_path / SENTINEL).unlink()
        (tmp_path / "network.pkl").write_bytes(known[name])
        with pytest.raises(InputError, match="nothing in it was run"):
            pretrained.load(tmp_path / "network.pkl")
        assert not (tmp_path / SENTINEL).exists(), name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("os.system", "asks for the global os.system, which no StyleGAN snapshot needs"),
        ("dotted global", "asks for the global os.path.os.system"),
        ("INST", "a pickle in an old form; nothing in it was run"),
        ("EXT1", "the pickle instruction EXT1"),
        ("a persistent id", "persistent id"),
        ("a nested reduce", "has a nested torch save that asks for the global os.system"),
        ("10 GB of zero strides", r"shape \[50000, 50000\] that reaches beyond its storage of 4 values"),
        ("10 GB in a header", "announces 2,500,000,000 values, but does not hold them"),
        ("a view beyond its storage", "reaches beyond its storage of 4 values"),
        ("an object dtype", "NumPy dtype O8"),
        ("another shape", r"G_ema: the tensor mapping.fc0.weight .* has the shape \[3, 2\], where \[2, 2\] belongs"),
        ("a Generator in D's place", "has the class Generator as its D, where Discriminator belongs"),
        ("a zip in place of a pickle", "zip"),
        ("cut at 50 %", "cut short"),
        ("rubbish behind", "1,000 bytes behind its end"),
        ("marks within marks", "nests objects more than 200 deep"),
        ("ours of a vast size", "img_resolution=1000000000: must be a whole number from 4 to 2048"),
    ],
)
def test_a_refusal_says_what_was_found(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.pkl").write_bytes(hostile_cached()[name])
    with pytest.raises(InputError, match=words) as caught:
        pretrained.load(tmp_path / "network.pkl")
    assert "network.pkl" in str(caught.value) and "\n" not in str(caught.value)


_kept: dict[str, bytes] = {}


def hostile_cached() -> dict[str, bytes]:
    if not _kept:
        _kept.update(calls() | machinery() | tensors() | numbers() | networks() | containers() | truncations())
        _kept["marks within marks"] = b"\x80\x04" + b"(" * 1000
    return _kept


# Fragments that a mutation may insert: instructions with and without arguments, globals, sizes.
FRAGMENTS = [
    *(bytes([code]) for code in range(256)),
    *(
        b"cos\nsystem\n",
        b"\x8c\x02os\x8c\x06system\x93",
        b"cbuiltins\nset\n",
        b"ccollections\nOrderedDict\n",
        b"ctorch\nFloatStorage\n",
    ),
    *(
        b"X\xff\xff\xff\xff",
        b"\x8e" + b"\xff" * 8,
        b"\x95" + b"\xff" * 8,
        b"\x8a\x08" + b"\xff" * 8,
        b"J\xff\xff\xff\xff",
        b"h\x00",
        b"j\0\0\0\0",
    ),
]


def mutations(whole: bytes, count: int, seed: int):
    """Seeded damage: flipped, inserted, deleted, overwritten and moved bytes, one to four in each file."""
    chance = random.Random(seed)
    for _ in range(count):
        made = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at, kind = chance.randrange(len(made)), chance.randrange(6)
            if kind == 0:
                made[at] ^= 1 << chance.randrange(8)
            elif kind == 1:
                made[at] = chance.randrange(256)
            elif kind == 2:
                made[at:at] = chance.choice(FRAGMENTS)
            elif kind == 3:
                fragment = chance.choice(FRAGMENTS)
                made[at : at + len(fragment)] = fragment
            elif kind == 4:
                del made[at : at + chance.randint(1, 40)]
            else:
                start = chance.randrange(len(made))
                made[at:at] = made[start : start + chance.randint(1, 400)]
        yield bytes(made)


def lean(form) -> bytes:
    """A snapshot that is nearly all structure: the source text, which is 40 kB that nobody reads, is a word."""
    G, D = tiny()
    made = {"G_ema": snapshots.official(G, form(G)), "D": snapshots.official(D, snapshots.ada_form(D))}
    return snapshots.dump(made | {"augment_pipe": snapshots.augment_pipe(0.5), "training_set_kwargs": snapshots.TRAINING_SET})


def test_no_mutation_does_more_than_load_or_be_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(snapshots, "SOURCE", "pass")
    G, D = tiny()
    pretrained.save(tmp_path / "ours.safetensors", G, D, {"kimg": 1})
    sources = {
        "ada": lean(snapshots.ada_form),
        "older": lean(snapshots.older_form),
        "ours": (tmp_path / "ours.safetensors").read_bytes(),
        "torch": torch_zip({"g_ema": G.state_dict(), "latent_avg": torch.zeros(2)}),
        "older torch": legacy({"g_ema": G.state_dict(), "latent_avg": torch.zeros(2)}),
    }
    shares = {"ada": 0.5, "older": 0.2, "ours": 0.1, "torch": 0.1, "older torch": 0.1}
    outcomes, worst = {"loaded": 0, "refused": 0}, 0.0
    path = tmp_path / "network.pkl"
    for seed, (name, whole) in enumerate(sources.items()):
        for number, content in enumerate(mutations(whole, int(MUTATIONS * shares[name]), seed)):
            path.write_bytes(content)
            start = time.process_time()
            try:
                pretrained.load(path)
                outcomes["loaded"] += 1
            except (InputError, OSError) as error:
                outcomes["refused"] += 1
                assert str(error).isprintable() and len(str(error)) < 500, (name, number, str(error))
            except Exception as error:
                raise AssertionError(f"mutation {number} of {name}: {type(error).__name__}: {error}") from error
            worst = max(worst, time.process_time() - start)
    assert not (tmp_path / SENTINEL).exists()
    assert outcomes["refused"] > MUTATIONS / 4 and outcomes["loaded"] > MUTATIONS / 100  # damage that reaches the reader
    print(f"\n{MUTATIONS} mutations: {outcomes}, the slowest {worst:.2f} s")
