"""Packed weights: what is written is what is read, widths nest, and damaged or hostile files are refused."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
import weight_models
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros import _kernels
from qeil_ros.models import weights_file, weights_proto
from qeil_ros.models.quantize import WeightPlan, quantize_graph
from qeil_ros.models.quantize_graph import Layer
from qeil_ros.models.quantize_rounding import Curvature
from qeil_ros.models.quantizers import quantize
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.schema import ModelError
from qeil_ros.models.weights import PackedModel, bit_plane, coarse, neighbours, unpack
from qeil_ros.models.weights_pack import pack, write_packed

onnx = pytest.importorskip("onnx", reason="builds its models with the Python package onnx")


def matrix(rows=24, inputs=40, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, inputs)).astype(np.float32)


def layer(array, axis=0, name="w"):
    shape = array.shape if axis == 0 else array.shape[::-1]
    return Layer(name, "MatMul", shape, axis, "x", True)


def written(path, packed, widths):
    allotted = {bits: [bits] * len(packed) for bits in widths}
    write_packed(path, packed, [], {"float": b"graph"}, allotted, {})
    return PackedModel(path)


def curvature(inputs, seed=1):
    rows = np.random.default_rng(seed).standard_normal((500, inputs)) @ np.diag(np.geomspace(3, 0.05, inputs))
    return Curvature((rows.T @ rows).astype(np.float32))


# ---------------------------------------------------------------- what is written is what is read


@given(st.integers(1, 8), st.integers(1, 70))
def test_codes_survive_packing_in_as_few_bytes_as_there_are(bits, count):
    codes = np.random.default_rng(count).integers(0, 1 << bits, count).astype(np.uint8)
    data = bit_plane(codes, bits)
    assert len(data) == (count if bits == 8 else bits * -(-count // 8))
    np.testing.assert_array_equal(unpack(data, bits, count), codes)


@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
@pytest.mark.parametrize("quantizer", ["uniform", "mse", "power_of_two", "lloyd_max"])
def test_a_width_of_its_own_is_exactly_the_quantizers(tmp_path, quantizer, granularity):
    array = matrix()
    packed = pack(array, layer(array), [2, 5], quantizer, granularity, 16)
    model = written(tmp_path / "w.qwt", [packed], [2, 5])
    assert model.widths == (5, 2)
    for bits in (2, 5):
        expected = quantize(array, bits, quantizer, granularity, group=16, grid=True).dequantize()
        np.testing.assert_array_equal(model.weight("w", bits), expected)


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("widths", [[8, 7, 6, 5, 4, 3, 2, 1], [8, 4], [6, 3], [4, 2, 1], [3]])
def test_all_widths_come_from_one_set_of_codes(tmp_path, widths, calibrated):
    array = matrix(32, 64)
    bend = curvature(64) if calibrated else None
    packed = pack(array, layer(array, axis=1), widths, "nested", "channel", 0, bend)
    (store,) = packed.stores
    assert store.bits == widths[0] and set(store.rounding) == {b for b in widths[1:] if b <= 4 and calibrated}
    model = written(tmp_path / "w.qwt", [packed], widths)
    best = model.weight("w", widths[0]).T
    assert np.linalg.norm(best - array) / np.linalg.norm(array) <= 4.0 * 2.0 ** -widths[0] + 0.002
    for bits in widths:
        found = model.weight("w", bits)
        assert found.shape == (64, 32) and found.flags.writeable
        rows = found.T
        for row, scale in zip(rows, store.scales[:, 0], strict=True):
            ints = np.unique(np.rint(row / scale)) if scale else np.zeros(1)
            assert len(ints) <= 1 << bits
        error = np.linalg.norm(rows - array) / np.linalg.norm(array)
        assert error == pytest.approx(packed.error(bits)[0], rel=1e-4)


def test_a_smaller_width_is_a_function_of_the_larger_code_unless_rounding_was_calibrated(tmp_path):
    array = matrix(16, 128)
    model = written(tmp_path / "w.qwt", [pack(array, layer(array), [8, 3], "nested", "channel", 0)], [8, 3])
    fine, rough = model.weight("w", 8), model.weight("w", 3)
    for a, b in zip(fine, rough, strict=True):  # monotonic in each row
        order = np.argsort(a, kind="stable")
        assert np.all(np.diff(b[order]) >= 0)
        for value in np.unique(a):
            assert len(np.unique(b[a == value])) == 1


def test_calibrated_rounding_goes_to_one_of_the_two_levels_around(tmp_path):
    array = matrix(16, 64)
    both = pack(array, layer(array), [8, 3], "nested", "channel", 0, curvature(64))
    model = written(tmp_path / "w.qwt", [both], [8, 3])
    levels = np.float32(both.stores[0].levels[3])[None] * both.stores[0].scales
    fine, rough = model.weight("w", 8), model.weight("w", 3)
    low, high = np.minimum(fine, rough)[:, :, None], np.maximum(fine, rough)[:, :, None]
    between = (levels[:, None, :] > low + 1e-6) & (levels[:, None, :] < high - 1e-6)
    assert not between.any()
    assert np.any(np.abs(fine - rough) > np.abs(fine[:, :, None] - levels[:, None, :]).min(2) + 1e-6)


def test_nesting_costs_little_against_a_quantizer_for_that_width_alone():
    array = matrix(64, 512)
    nested = pack(array, layer(array), [8, 4, 3, 2], "nested", "channel", 0)
    for bits in (4, 3, 2):
        alone = pack(array, layer(array), [bits], "lloyd_max", "channel", 0)
        assert nested.error(bits)[0] < 1.08 * alone.error(bits)[0]


def test_the_file_is_as_small_as_its_bits(tmp_path):
    array = matrix(256, 512)
    for widths, bits in (([4], 4), ([2], 2), ([8, 4, 2], 8), ([3], 3)):
        written(tmp_path / "w.qwt", [pack(array, layer(array), widths, "nested", "channel", 0)], widths)
        size = (tmp_path / "w.qwt").stat().st_size
        assert size <= array.size * bits // 8 + 2 * 256 + 256 + 1500


def test_coarse_levels_agree_with_the_plain_definition():
    generator = np.random.default_rng(0)
    for _ in range(50):
        table = np.sort(generator.integers(-127, 128, 256)).astype(np.int8)
        levels = np.sort(generator.integers(-127, 128, 8)).astype(np.int8)
        near = coarse(table, levels)
        distances = np.abs(table.astype(int)[:, None] - levels.astype(int)[None])
        np.testing.assert_array_equal(distances[range(256), near], distances.min(1))
        other = neighbours(table, levels, near)
        assert np.all(np.abs(other - near) <= 1)


# ---------------------------------------------------------------- the ONNX model made of it


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("net")
    weight_models.network(path / "net.onnx", conv=True)
    quantize_graph(
        path / "net.onnx", path / "net.qwt", WeightPlan((8, 4, 2)), images=weight_models.images(30)
    )
    return path


def run(model, image):
    return Runtime(model, name="model").run({"image": image}, "features")


def test_every_form_is_a_model_whose_answers_agree(network):
    packed = PackedModel(network / "net.qwt")
    assert packed.forms == ("float", "int8", "qdq") and packed.widths == (8, 4, 2)
    exact = [run(network / "net.onnx", image) for image in weight_models.images(5, seed=3)]
    for bits, limit in ((8, 0.02), (4, 0.25), (2, 0.9)):
        for form in packed.forms:
            model = packed.onnx(bits, form)
            onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
            found = [run(model, image) for image in weight_models.images(5, seed=3)]
            error = np.linalg.norm(np.subtract(found, exact)) / np.linalg.norm(exact)
            assert error < max(limit, 0.1 if form == "qdq" else 0), (bits, form)


def test_the_float_form_is_the_graph_with_the_decoded_weights(network):
    packed = PackedModel(network / "net.qwt")
    original = onnx.load(network / "net.onnx")
    for tensor in original.graph.initializer:
        if tensor.name in ("first", "second", "filter"):
            tensor.CopyFrom(onnx.numpy_helper.from_array(packed.weight(tensor.name, 4), tensor.name))
    (image,) = weight_models.images(1, seed=9)
    np.testing.assert_array_equal(run(packed.onnx(4), image), run(original.SerializeToString(), image))


def test_int8_weights_keep_to_seven_bits_where_that_is_asked_for(network):
    packed = PackedModel(network / "net.qwt")
    for largest in (127, 63):
        model = onnx.load_from_string(packed.onnx(8, "int8", largest=largest))
        levels = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        assert np.abs(levels["first.int8"].astype(int)).max() == largest
        found = levels["first.int8"] * levels["first.scale"]
        step = levels["first.scale"].max() / 2 if largest == 63 else 0
        np.testing.assert_allclose(found, packed.weight("first", 8), atol=1.001 * step + 1e-7)


def test_weights_may_have_a_width_each(network):
    packed = PackedModel(network / "net.qwt")
    mixed = onnx.load_from_string(packed.onnx({"first": 2, "second": 8, "filter": 4}))
    for tensor in mixed.graph.initializer:
        if tensor.name in ("first", "second", "filter"):
            bits = {"first": 2, "second": 8, "filter": 4}[tensor.name]
            np.testing.assert_array_equal(
                onnx.numpy_helper.to_array(tensor), packed.weight(tensor.name, bits)
            )
    with pytest.raises(ModelError, match="no width is given for the weights 'second'"):
        packed.onnx({"first": 2, "filter": 4})
    with pytest.raises(ModelError, match="has no weights of 5 bits, only of 8, 4, 2"):
        packed.onnx(5)
    with pytest.raises(ModelError, match="has no weights 'third'"):
        packed.weight("third", 4)


def test_older_runtimes_can_read_it(network):
    """The graph came from an exporter that stamps the newest version; nothing in it needs that."""
    assert onnx.load(network / "net.onnx").ir_version == 10
    assert onnx.load_from_string(PackedModel(network / "net.qwt").onnx(8)).ir_version == 8


def test_a_replaced_file_does_not_disturb_the_open_one(network, tmp_path):
    path = tmp_path / "net.qwt"
    path.write_bytes((network / "net.qwt").read_bytes())
    packed = PackedModel(path)
    before = packed.onnx(4)
    (tmp_path / "new").write_bytes(b"something else")
    (tmp_path / "new").replace(path)
    assert packed.onnx(4) == before


@given(st.lists(st.integers(0, 2**40), max_size=6))
def test_the_bytes_of_a_tensor_are_protobufs(shape):
    raw = b"\x01\x02\x03"
    made = b"".join(weights_proto.tensor("naïve", 3, shape, raw))
    tensor = onnx.TensorProto.FromString(made)
    assert (list(tensor.dims), tensor.data_type, tensor.name, tensor.raw_data) == (shape, 3, "naïve", raw)


def test_a_model_over_two_gigabytes_is_refused_with_what_to_do():
    class Huge(bytes):
        def __len__(self):
            return 3 << 30

    with pytest.raises(ModelError, match="use a backend that keeps int8 weights"):
        weights_proto.model(b"", [[Huge()]])


# ---------------------------------------------------------------- hostile files


def parts(data):
    """(header, arrays) of a file."""
    size = struct.unpack_from("<I", data, 8)[0]
    return json.loads(data[16 : 16 + size]), data[16 + size :]


def made_of(header, arrays):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<4sHHII", b"\x89QWT", 1, 0, len(text), _kernels.crc32c(text)) + text + arrays


def refused(tmp_path, data, message=""):
    path = tmp_path / "hostile.qwt"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=message) as found:
        packed = PackedModel(path)
        for bits in packed.widths:
            packed.onnx(bits)
    assert str(path) in str(found.value)


def edited(data, *keys, value):
    """The file with one value of its header replaced; `...` as the value takes it away."""
    header, arrays = parts(data)
    at = header
    for key in keys[:-1]:
        at = at[key]
    if value is ...:
        del at[keys[-1]]
    else:
        at[keys[-1]] = value
    return made_of(header, arrays)


@pytest.fixture(scope="module")
def good(network):
    return (network / "net.qwt").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: b"", "ends after 0 bytes; 16 are needed"),
        (lambda d: d[:15], "ends after 15 bytes"),
        (lambda d: b"PK\x03\x04" + d[4:], "no file of packed weights"),
        (lambda d: d[:4] + b"\x02" + d[5:], "is of version 2.0; this program reads version 1.0"),
        (lambda d: d[:8] + struct.pack("<I", 1 << 30) + d[12:], "claims a header of 1073741824 bytes"),
        (lambda d: d[:8] + struct.pack("<I", 1 << 23) + d[12:], "are needed"),
        (lambda d: d[:20] + bytes([d[20] ^ 1]) + d[21:], "the header is damaged"),
        (lambda d: d[:-1], "its header tells of"),
        (lambda d: d + b"\0", "its header tells of"),
        (lambda d: d[:-1] + bytes([d[-1] ^ 1]), "is damaged: its CRC32C"),
        (lambda d: made_of(b"[" * 100_000, b""), "the header is not JSON"),
        (lambda d: made_of(b"\xff\xfe", b""), "the header is not JSON"),
        (lambda d: made_of(b"[1]", b""), r"the header is \[1\], want an object"),
        (lambda d: made_of(b'{"arrays": NaN}', b""), "not JSON"),
        (lambda d: made_of({"arrays": [[1, -1]]}, b"x"), "want .bytes, CRC32C., got"),
        (lambda d: made_of({"arrays": [[2**70, 0]]}, b"x"), "want .bytes, CRC32C., got"),
        (lambda d: made_of({"arrays": [[True, 0]]}, b"x"), "want .bytes, CRC32C., got"),
        (lambda d: made_of({"arrays": []}, b""), "graphs: is missing"),
        (lambda d: edited(d, "weights", value={}), "weights: want a list"),
        (lambda d: edited(d, "weights", 0, "stores", value=[]), "want a list of 1 to 8"),
        (lambda d: edited(d, "weights", 0, "shape", value=[2**20, 2**20]), "at most 2147483648 are read"),
        (lambda d: edited(d, "weights", 0, "shape", value=[0, 4]), "want dimensions of 1 or more"),
        (lambda d: edited(d, "weights", 0, "shape", value=[-1]), "want a list of at most 8 dimensions"),
        (lambda d: edited(d, "weights", 0, "shape", value=[1] * 9), "want a list of at most 8 dimensions"),
        (lambda d: edited(d, "weights", 0, "shape", value=[3, 3, 6, 7]), r"has 324 bytes, want 378"),
        (lambda d: edited(d, "weights", 0, "axis", value=4), "want an integer from 0 to 3, got 4"),
        (lambda d: edited(d, "weights", 0, "name", value=""), "has 0 characters"),
        (lambda d: edited(d, "weights", 0, "name", value="x" * 2000), "has 2000 characters"),
        (lambda d: edited(d, "weights", 1, "name", value="filter"), "two tensors have the same name"),
        (lambda d: edited(d, "weights", 0, "stores", 0, "bits", value=9), "from 1 to 8, got 9"),
        (lambda d: edited(d, "weights", 0, "stores", 0, "bits", value=7), "want 7 first and smaller ones"),
        (lambda d: edited(d, "weights", 0, "stores", 0, "unit", value=-1.0), "want a positive power of two"),
        (lambda d: edited(d, "weights", 0, "stores", 0, "unit", value="1"), "want a finite number"),
        (
            lambda d: edited(d, "weights", 0, "stores", 0, "codes", value=10**6),
            "names array 1000000, the file",
        ),
        (lambda d: edited(d, "weights", 0, "stores", 0, "codes", value=0), "array 0 has .* bytes, want 324"),
        (lambda d: edited(d, "weights", 0, "stores", 0, "group", value=16), "16 does not go with"),
        (lambda d: edited(d, "weights", 0, "stores", 0, "codes", value=...), "codes: is missing"),
        (lambda d: edited(d, "weights", 0, "surprise", value=1), "surprise: is not a known key"),
        (lambda d: edited(d, "widths", value={}), "widths: is empty"),
        (lambda d: edited(d, "widths", "9", value=[8, 8, 8]), "want a number from 1 to 8"),
        (lambda d: edited(d, "widths", "8", value=[8]), "want a width for each of 3 weights"),
        (lambda d: edited(d, "widths", "8", value=[8, 8, 5]), "weights 'second' have no width 5"),
        (lambda d: edited(d, "widths", "8", value=[8, 8, [8]]), "have no width"),
        (lambda d: edited(d, "graphs", "float", "bytes", value=2**31 - 1), "from 0 to 268435456"),
        (lambda d: edited(d, "graphs", "float", "bytes", value=10), "another size than the 10 bytes"),
        (lambda d: edited(d, "graphs", "float", value=...), "has no graph of form 'float'"),
        (lambda d: edited(d, "tensors", 0, "data_type", value=8), "8 is not an element type of fixed size"),
        (lambda d: edited(d, "tensors", 0, "shape", value=[5]), "bytes, want 20"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, good, change, message):
    refused(tmp_path, change(good), message)


def test_a_bomb_in_the_graph_is_not_inflated(tmp_path, good):
    header, arrays = parts(good)
    index = header["graphs"]["float"]["array"]
    start = sum(size for size, _ in header["arrays"][:index])
    size = header["arrays"][index][0]
    bomb = zlib.compress(bytes(1 << 26), 9)
    header["arrays"][index] = [len(bomb), _kernels.crc32c(bomb)]
    refused(tmp_path, made_of(header, arrays[:start] + bomb + arrays[start + size :]), "another size")


def test_scales_that_are_no_numbers_are_refused(tmp_path, good):
    header, arrays = parts(good)
    index = header["weights"][0]["stores"][0]["scales"]
    start = sum(size for size, _ in header["arrays"][:index])
    size = header["arrays"][index][0]
    nan = np.full(size // 2, np.nan, "<f2").tobytes()
    header["arrays"][index] = [size, _kernels.crc32c(nan)]
    refused(tmp_path, made_of(header, arrays[:start] + nan + arrays[start + size :]), "no finite number")


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_damage_is_found_or_harmless(network, good, data):
    """Random bytes changed, also with every checksum put right again: an error, or a model that loads."""
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path = network / "damaged.qwt"
    if data.draw(st.booleans()) and changed[:8] == good[:8] and changed[8:12] == good[8:12]:
        size = struct.unpack_from("<I", changed, 8)[0]
        text = bytes(changed[16 : 16 + size])
        changed[12:16] = struct.pack("<I", _kernels.crc32c(text))
    path.write_bytes(changed)
    try:
        packed = PackedModel(path)
        for form in packed.forms:
            packed.onnx(packed.widths[0], form)
    except ModelError as error:
        assert str(path) in str(error)


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        weights_file.ArrayFile(tmp_path / "none.qwt")
