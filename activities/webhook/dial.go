package webhook

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// refusedAddress is the error of a connection to an address that is not allowed. It does not say the address, so that nobody
// who may name an endpoint learns what names of the internal network mean.
type refusedAddress struct{ plain bool }

func (e *refusedAddress) Error() string {
	if e.plain {
		return "plain http is refused, except to networks that --webhook-allow-private names; https is accepted"
	}
	return "its address is private, local or reserved; public addresses are accepted, and networks that --webhook-allow-private names"
}

// newTransport makes a transport that checks each address right before it connects to it, when names have been resolved for the last
// time: no answer of a name server can pass one address and have another connected to. Proxies are not used, for they would
// connect on their own.
func newTransport(allowed []netip.Prefix, plain bool) *http.Transport {
	dialer := &net.Dialer{
		Timeout: dialTimeout,
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || network != "tcp4" && network != "tcp6" {
				return &refusedAddress{}
			}
			return check(to.Addr(), allowed, plain)
		},
	}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    perEndpoint,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 16 << 10,
		DisableCompression:     true,
	}
}

const dialTimeout = 5 * time.Second

// check returns the error for an address that must not be connected to.
func check(address netip.Addr, allowed []netip.Prefix, plain bool) error {
	address = address.WithZone("").Unmap()
	in := func(prefix netip.Prefix) bool { return prefix.Contains(address) }
	switch {
	case slices.ContainsFunc(allowed, in):
		return nil
	case !address.IsGlobalUnicast() || address.IsPrivate() || slices.ContainsFunc(reserved, in):
		return &refusedAddress{}
	case address.Is6() && !global6.Contains(address):
		return &refusedAddress{}
	case plain:
		return &refusedAddress{plain: true}
	}
	return nil
}

// reserved are the networks of IANA's registries of special-purpose addresses that [netip.Addr.IsGlobalUnicast] and
// [netip.Addr.IsPrivate] take for ordinary ones. Those of translation and tunnels have an address of IPv4 in them, which may
// be a private one.
var reserved = prefixes(
	"0.0.0.0/8",       // this network
	"100.64.0.0/10",   // carrier-grade NAT
	"192.0.0.0/24",    // protocol assignments
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // relays of 6to4
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"240.0.0.0/4",     // reserved
	"2001::/23",       // protocol assignments, Teredo
	"2001:db8::/32",   // documentation
	"2002::/16",       // 6to4
	"3fff::/20",       // documentation
)

// global6 holds all public addresses of IPv6. NAT64, 64:ff9b::/96, is outside.
var global6 = netip.MustParsePrefix("2000::/3")

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

// network parses an address or a network in CIDR notation.
func network(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" && !address.Is4In6() {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not a network; one such as 10.1.0.0/16 or an address is accepted", text)
	}
	return prefix.Masked(), nil
}
