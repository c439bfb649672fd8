"""What the environment says of the way to a server: proxies, and certificates that it is trusted by."""

from __future__ import annotations

import os
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from confroute.errors import ConfigurationError

_SCHEMES = ("http", "https", "all")


def proxy_variable(url: str) -> str | None:
    """What names the proxy that requests to *url* go through, by its own name: the value may hold a password."""
    address = urlsplit(url)
    proxies = getproxies()
    found = next((scheme for scheme in (address.scheme, "all") if proxies.get(scheme)), None)
    return None if found is None or proxy_bypass(address.netloc) else _variable(found)


def unusable_environment(error: Exception) -> ConfigurationError:
    """The *error* of a client that cannot be made as the environment says, without the values that it may quote."""
    if isinstance(error, OSError):
        named = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), "the system")
        return ConfigurationError(
            f"The certificates that {named} names cannot be read ({type(error).__name__}). Name a file of certificates "
            "in PEM form, or none."
        )
    lacks_package = isinstance(error, ImportError)
    proxies = {scheme: proxy for scheme in _SCHEMES if (proxy := getproxies().get(scheme))}
    suspects = [each for each in proxies if not lacks_package or proxies[each].lower().startswith("socks")]
    named = " or ".join(map(_variable, suspects)) or "The environment"
    if lacks_package:
        return ConfigurationError(
            f"{named} names a SOCKS proxy, for which a package is not installed. Install it with: pip install "
            "'httpx[socks]', or have it name a proxy like http://host:port."
        )
    return ConfigurationError(f"{named} must name a proxy like http://host:port, and does not.")


def _variable(scheme: str) -> str:
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    return next((name for name in names if os.environ.get(name)), "the system's settings")
