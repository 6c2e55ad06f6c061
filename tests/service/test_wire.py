"""The committed stubs against the contract that they come from; .ci/run also makes them anew and compares."""

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from henasy_api.v1 import search_pb2, types_pb2

PROTOS = Path(__file__).resolve().parents[2] / "protos"


def lines_of(described: descriptor_pb2.FileDescriptorProto) -> list[str]:
    """The description as text, without the names in JSON that only one of the two writers spells out."""
    return [line for line in str(described).splitlines() if "json_name:" not in line]


def test_stubs_describe_the_committed_contract(tmp_path: Path) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc")
    target = tmp_path / "set.bin"
    names = [f"henasy_api/v1/{name}.proto" for name in ("types", "search")]
    assert protoc.main(["protoc", f"-I{PROTOS}", f"--descriptor_set_out={target}", *names]) == 0
    described = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file
    for wanted, module in zip(described, (types_pb2, search_pb2), strict=True):
        found = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(found)
        assert lines_of(found) == lines_of(wanted)


def test_every_enum_value_but_the_first_has_its_enums_prefix() -> None:
    for module in (types_pb2, search_pb2):
        for enum in module.DESCRIPTOR.enum_types_by_name.values():
            prefix = "".join(f"_{char}" if char.isupper() else char for char in enum.name).strip("_").upper()
            assert enum.values[0].name == f"{prefix}_UNSPECIFIED"
            assert all(value.name.startswith(f"{prefix}_") for value in enum.values)
