"""Writes the Python stubs of the wire contract: `make stubs`, or `python protos/generate.py [FOLDER]`.

Run it with the oldest grpcio-tools that is supported, in an environment of its own, which is what `make stubs` does:
generated code refuses runtimes older than its own, and that generator wants an older protobuf than the rest.
"""

import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

FOLDER = Path(__file__).resolve().parent
PROTOS = ("henasy_api/v1/types.proto", "henasy_api/v1/search.proto")


def generate(target: Path) -> None:
    """Writes the package `henasy_api` into `target`.

    Raises:
        RuntimeError: protoc refused the contract; it has said why on standard error.
    """
    target.mkdir(parents=True, exist_ok=True)
    well_known = resources.files("grpc_tools") / "_proto"
    outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    code = protoc.main(["protoc", f"-I{FOLDER}", f"-I{well_known}", *outputs, *PROTOS])
    if code != 0:
        raise RuntimeError(f"protoc ended with {code}")
    for package in ("henasy_api", "henasy_api/v1"):
        (target / package / "__init__.py").write_text('"""Generated stubs of the wire contract henasy.v1."""\n')


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER / "generated")
