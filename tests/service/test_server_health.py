"""grpc.health.v1 and reflection over real gRPC, also while watchers leave and the server ends."""

import threading
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from henasy_api.v1 import search_pb2
from world import serving

from service.client import HenasyClient
from service.server import SERVICE, SearchServer


def test_health_checks_and_watches(tmp_path: Path) -> None:
    serving_, ending = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    with serving(tmp_path) as server, grpc.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == serving_
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="other"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        # More watchers than threads: they must not keep calls from being answered.
        watches = [health.Watch(health_pb2.HealthCheckRequest(service=SERVICE)) for _ in range(12)]
        assert [next(watch).status for watch in watches] == [serving_] * 12
        with HenasyClient(server.address) as client:
            assert client.search("mug")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        watches.pop().cancel()
        for watch in watches:
            assert [response.status for response in watch] == [ending]
        stopping.join(4)
        assert not stopping.is_alive()


def test_watchers_that_leave_while_the_status_changes_hold_up_nothing(tmp_path: Path) -> None:
    for _ in range(5):
        with serving(tmp_path) as server, grpc.insecure_channel(server.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(20)]
            assert all(next(watch) for watch in watches)
            stopping = threading.Thread(target=server.stop, daemon=True)
            stopping.start()
            for watch in watches:
                watch.cancel()
            stopping.join(10)
            assert not stopping.is_alive()


def test_watch_of_an_unknown_service_says_so(server: SearchServer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="other"))
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


def test_reflection_lists_and_describes_the_service(server: SearchServer) -> None:
    ask_list = reflection_pb2.ServerReflectionRequest(list_services="")
    ask_symbol = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
    with grpc.insecure_channel(server.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        listed, described = stub.ServerReflectionInfo(iter([ask_list, ask_symbol]))
    assert SERVICE in {service.name for service in listed.list_services_response.service}
    assert search_pb2.DESCRIPTOR.serialized_pb in described.file_descriptor_response.file_descriptor_proto
