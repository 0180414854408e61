package webhook

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnlyPublicAddressesAndAllowedNetworksAreConnectedTo(t *testing.T) {
	t.Parallel()
	allowed := prefixes("10.1.0.0/16", "fd00:1::/32", "64:ff9b::/96")
	for _, test := range []struct {
		address        string
		https, allowed bool // without and with the allowed networks
		http           bool // with them
	}{
		{"8.8.8.8", true, true, false},
		{"::ffff:8.8.8.8", true, true, false},
		{"2606:4700:4700::1111", true, true, false},
		{"10.1.2.3", false, true, true},
		{"::ffff:10.1.2.3", false, true, true},
		{"fd00:1::7", false, true, true},
		{"64:ff9b::a01:203", false, true, true},
		{"10.2.2.3", false, false, false},
		{"172.16.0.1", false, false, false},
		{"172.31.255.255", false, false, false},
		{"192.168.1.1", false, false, false},
		{"127.0.0.1", false, false, false},
		{"127.8.9.10", false, false, false},
		{"::ffff:127.0.0.1", false, false, false},
		{"::ffff:192.168.1.1", false, false, false},
		{"169.254.169.254", false, false, false},
		{"0.0.0.0", false, false, false},
		{"0.1.2.3", false, false, false},
		{"100.64.0.1", false, false, false},
		{"100.127.255.255", false, false, false},
		{"192.0.0.8", false, false, false},
		{"198.18.0.1", false, false, false},
		{"224.0.0.1", false, false, false},
		{"240.0.0.1", false, false, false},
		{"255.255.255.255", false, false, false},
		{"::", false, false, false},
		{"::1", false, false, false},
		{"::7f00:1", false, false, false},
		{"::127.0.0.1", false, false, false},
		{"fe80::1", false, false, false},
		{"fe80::1%eth0", false, false, false},
		{"fec0::1", false, false, false},
		{"fd00:2::7", false, false, false},
		{"ff02::1", false, false, false},
		{"64:ff9b:1::a01:203", false, false, false},
		{"2001::1", false, false, false},
		{"2001:db8::1", false, false, false},
		{"2002:a01:203::1", false, false, false},
	} {
		address := netip.MustParseAddr(test.address)
		require.Equal(t, test.https, check(address, nil, false) == nil, test.address)
		require.Equal(t, test.allowed, check(address, allowed, false) == nil, "%s where networks are allowed", test.address)
		require.Equal(t, test.http, check(address, allowed, true) == nil, "%s over plain http", test.address)
	}
	require.Error(t, check(netip.MustParseAddr("64:ff9b::a01:203"), nil, false), "NAT64")
}

func TestProxiesCannotConnectInstead(t *testing.T) {
	t.Parallel()
	require.Nil(t, newTransport(nil, false).Proxy)
	require.Nil(t, newTransport(nil, false).DialTLSContext)
}

func TestANetworkIsAnAddressOrInCIDRNotation(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.1.0.0/16": "10.1.0.0/16", "10.1.2.3/16": "10.1.0.0/16", "127.0.0.1": "127.0.0.1/32", "::1": "::1/128", "fd00::/8": "fd00::/8",
	} {
		got, err := network(text)
		require.NoError(t, err)
		require.Equal(t, want, got.String())
	}
	for _, text := range []string{"", "localhost", "10.1.0.0/33", "::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "fe80::1%eth0"} {
		_, err := network(text)
		require.ErrorContains(t, err, "is not a network", text)
	}
}
