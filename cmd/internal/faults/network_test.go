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

// network is a proxy to a server, or to several in turn: each new connection goes to the next that accepts it. Its conditions
// can be changed, for existing and new connections.
type network struct {
	listener net.Listener
	servers  []string
	open     context.Context // ends with the network
	running  sync.WaitGroup

	mu         sync.Mutex
	conditions conditions
	changed    chan struct{} // closed when the conditions change
}

// conditions is the state of a network in both directions. The zero value is a good network.
type conditions struct {
	hold           bool          // nothing is forwarded, not even the end of a connection, until the conditions change; then everything
	lose           bool          // everything is dropped: a connection that had data to forward ends when the conditions change
	reset          bool          // a connection with data to forward is reset
	delay          time.Duration // data is delayed by up to twice this
	chunkSize      int           // data is forwarded in chunks of this size
	bytesPerSecond int           // limit per connection and direction
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

// set changes the conditions.
func (n *network) set(w conditions) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conditions = w
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *network) now() (conditions, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conditions, n.changed
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

// connect forwards between a client and a server until one of them closes.
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

// carry forwards data under the current conditions.
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
			chunkSize := rest
			if now.chunkSize > 0 {
				chunkSize = rest[:min(len(rest), now.chunkSize)]
			}
			rest = rest[len(chunkSize):]
			late := time.Duration(2 * rand.Float64() * float64(now.delay))
			if now.bytesPerSecond > 0 {
				late += time.Second * time.Duration(len(chunkSize)) / time.Duration(now.bytesPerSecond)
			}
			if late > 0 {
				n.wait(changed, late)
			}
			if _, err := to.Write(chunkSize); err != nil {
				return
			}
		}
	}
}

// wait waits until the conditions change, the network ends or, if it is above zero, the time has passed.
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
