package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

// endpoint is a watcher that is called: a server on a port of its own, because deliveries to one address share its limit.
type endpoint struct {
	url    string
	told   chan []byte // what it was told
	server *http.Server
	ended  chan struct{}
}

// listen opens an endpoint, which calls called for each call. The caller must close it.
func listen(ctx context.Context, called func()) (*endpoint, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	const most = 1000 // more than there are changes
	e := &endpoint{url: "http://" + listener.Addr().String() + "/", told: make(chan []byte, most), ended: make(chan struct{})}
	e.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		called()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case e.told <- body:
		case <-r.Context().Done():
		}
	})}
	go func() {
		defer close(e.ended)
		_ = e.server.Serve(listener) // until it is closed
	}()
	return e, nil
}

func (e *endpoint) close() {
	_ = e.server.Close()
	<-e.ended
}
