package faults_test

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// network is the way to a server, or to several of which each new connection is given the next that accepts it. Its weather
// can be made bad, for the connections that there are and those to come.
type network struct {
	listener net.Listener
	servers  []string
	open     context.Context // ends with the network
	running  sync.WaitGroup

	mu      sync.Mutex
	weather weather
	changed chan struct{} // closed when the weather changes
}

// weather is how bad a network is, both ways. The zero value is good.
type weather struct {
	hold   bool          // nothing comes through, not even the end of a connection, until the weather changes; then everything
	lose   bool          // nothing comes through, ever: a connection that had something to carry ends when the weather changes
	reset  bool          // a connection that has something to carry is reset
	delay  time.Duration // what is sent is late by up to twice this
	piece  int           // what is sent comes through in pieces of so many bytes
	second int           // so many bytes come through in a second, on each connection and way
}

// newNetwork makes a good network to the servers' addresses, until the end of the test.
func newNetwork(t *testing.T, servers ...string) *network {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	open, cancel := context.WithCancel(context.Background())
	n := &network{listener: listener, servers: servers, open: open, changed: make(chan struct{})}
	n.running.Go(n.accept)
	t.Cleanup(func() {
		cancel()
		require.NoError(t, listener.Close())
		n.running.Wait()
	})
	return n
}

func (n *network) address() string { return n.listener.Addr().String() }

// become changes the weather.
func (n *network) become(w weather) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.weather = w
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *network) now() (weather, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.weather, n.changed
}

func (n *network) accept() {
	for first := 0; ; first++ {
		client, err := n.listener.Accept()
		if err != nil {
			return
		}
		n.running.Go(func() { n.connect(client.(*net.TCPConn), first) })
	}
}

// connect joins a client with a server until one of them ends it.
func (n *network) connect(client *net.TCPConn, first int) {
	defer client.Close()
	dialer := net.Dialer{Timeout: time.Second}
	for i := range n.servers {
		conn, err := dialer.DialContext(n.open, "tcp", n.servers[(first+i)%len(n.servers)])
		if err != nil {
			continue
		}
		server := conn.(*net.TCPConn)
		ctx, cancel := context.WithCancel(n.open)
		context.AfterFunc(ctx, func() { _, _ = client.Close(), server.Close() })
		var carrying sync.WaitGroup
		carrying.Go(func() { defer cancel(); n.carry(client, server) })
		carrying.Go(func() { defer cancel(); n.carry(server, client) })
		carrying.Wait()
		return
	}
}

// carry hands on what comes, as the weather is.
func (n *network) carry(from, to *net.TCPConn) {
	buffer := make([]byte, 32<<10)
	for {
		read, err := from.Read(buffer)
		for rest := buffer[:read]; len(rest) > 0 || err != nil; {
			now, changed := n.now()
			switch {
			case now.lose:
				n.wait(changed, 0)
				return
			case now.hold:
				n.wait(changed, 0)
				if n.open.Err() == nil {
					continue
				}
				return
			case now.reset:
				_, _ = from.SetLinger(0), to.SetLinger(0)
				return
			case len(rest) == 0: // the end
				return
			}
			piece := rest
			if now.piece > 0 {
				piece = rest[:min(len(rest), now.piece)]
			}
			rest = rest[len(piece):]
			late := time.Duration(2 * rand.Float64() * float64(now.delay))
			if now.second > 0 {
				late += time.Second * time.Duration(len(piece)) / time.Duration(now.second)
			}
			if late > 0 {
				n.wait(changed, late)
			}
			if _, err := to.Write(piece); err != nil {
				return
			}
		}
	}
}

// wait waits until the weather changes, the network ends or, if it is above zero, the time has passed.
func (n *network) wait(changed <-chan struct{}, most time.Duration) {
	var late <-chan time.Time
	if most > 0 {
		timer := time.NewTimer(most)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-changed:
	case <-n.open.Done():
	case <-late:
	}
}
