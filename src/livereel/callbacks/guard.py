"""The guard against forged targets: outgoing messages reach public addresses and those that the operator allowed.

A URL comes from whoever may configure a domain, so its host may be or resolve to the machine itself, its neighbours or
a cloud's metadata service. Names prove nothing (the answer of the DNS may change between a check and the connection),
so the check is made on the very address that a socket is about to connect to.
"""

import ipaddress
import socket
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Public by registry, yet answered inside: the platform address of Azure.
_NOT_PUBLIC = frozenset({ipaddress.IPv4Address("168.63.129.16")})
#: All of IPv6 that is given out as global unicast (RFC 4291 section 2.4, IANA registry).
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_DOCUMENTATION = ipaddress.IPv6Network("3fff::/20")  # RFC 9637, newer than Python's own table
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291 section 2.5.5.1
_TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")  # RFC 2765


class TargetRefused(OSError):
    """The address may not be called. An OSError, so that a client goes on with the next address of the name."""


def unwrap(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, NAT64, 6to4, Teredo, compatible), else `address`."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if inner := address.ipv4_mapped or address.sixtofour:
        return inner
    if teredo := address.teredo:
        return teredo[1]
    if address in _NAT64 or address in _TRANSLATED or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def is_public(address: Address) -> bool:
    """True for a unicast address of the public internet; `address` is unwrapped."""
    if address in _NOT_PUBLIC or address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return address.version == 4 or (address in _GLOBAL_UNICAST and address not in _DOCUMENTATION)


class TargetGuard:
    """Decides which addresses may be called."""

    def __init__(self, allow_private: Iterable[Network] = (), *, setting: str = "callbacks.allow_private") -> None:
        self._allowed = tuple(allow_private)
        self._setting = setting  # the one that `allow_private` comes from

    def check(self, host: str) -> None:
        """Raises TargetRefused unless the address `host` (text, maybe with a scope) may be called."""
        address = unwrap(ipaddress.ip_address(host.partition("%")[0]))
        if is_public(address) or any(address in network for network in self._allowed):
            return
        raise TargetRefused(f"{address} is not a public address; setting {self._setting} may allow it")

    def open_socket(self, addr_info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        """A socket for connecting to an address as `getaddrinfo` gives it. Raises TargetRefused."""
        family, kind, protocol, _, address = addr_info
        self.check(str(address[0]))
        return socket.socket(family, kind, protocol)
