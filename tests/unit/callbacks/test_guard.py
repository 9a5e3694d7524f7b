"""Which addresses may be called."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.callbacks.guard import TargetGuard, TargetRefused

PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",  # metadata service of Alibaba Cloud
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
]
IPV6 = [
    "::",
    "::1",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
WRAPPINGS = {
    "mapped": lambda v4: IPv6Address((0xFFFF << 32) | int(v4)),
    "translated": lambda v4: IPv6Address((0xFFFF << 48) | int(v4)),
    "compatible": lambda v4: IPv6Address(int(v4)),
    "NAT64": lambda v4: IPv6Address(int(IPv6Address("64:ff9b::")) | int(v4)),
    "6to4": lambda v4: IPv6Address((0x2002 << 112) | (int(v4) << 80) | 1),
    "Teredo": lambda v4: IPv6Address((0x20010000 << 96) | (0x01020304 << 64) | (int(v4) ^ 0xFFFFFFFF)),
}


@pytest.mark.parametrize("address", PRIVATE + IPV6)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    with pytest.raises(TargetRefused, match="not a public address"):
        TargetGuard().check(address)


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrapping_does_not_help(address: str, wrapping: str) -> None:
    with pytest.raises(TargetRefused):
        TargetGuard().check(str(WRAPPINGS[wrapping](IPv4Address(address))))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_pass(address: str) -> None:
    TargetGuard().check(address)


def test_allowed_networks_pass_and_no_others() -> None:
    guard = TargetGuard([ip_network("10.1.0.0/16"), ip_network("::1/128")])
    guard.check("10.1.2.3")
    guard.check("::ffff:10.1.2.3")
    guard.check("::1")
    for other in ("10.2.0.1", "127.0.0.1", "::"):
        with pytest.raises(TargetRefused):
            guard.check(other)


@given(st.ip_addresses(v=4))
def test_a_mapped_address_fares_as_the_address_itself(address: IPv4Address) -> None:
    def passes(text: str) -> bool:
        try:
            TargetGuard().check(text)
        except TargetRefused:
            return False
        return True

    assert passes(f"::ffff:{address}") == passes(str(address))


def test_a_socket_is_opened_for_an_allowed_address_only() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))
    with pytest.raises(TargetRefused):
        TargetGuard().open_socket(info)
    with TargetGuard([ip_network("127.0.0.0/8")]).open_socket(info) as opened:
        assert opened.type == socket.SOCK_STREAM
