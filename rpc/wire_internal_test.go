package rpc

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// If an encoder has an unknown bug, the item is still delivered, and ends no stream.
func TestAnItemWhoseEncoderFailsIsDeliveredWithoutContent(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(){
		"an error": func() {},
		"a panic":  func() { panic("index out of range") },
	} {
		log := new(bytes.Buffer)
		encoder := newEncoder(slog.New(slog.NewTextHandler(log, nil)))
		item := newItem(5)
		b, err := encodeItem(encoder, item, func(wire wireItem) ([]byte, error) {
			if wire.body != nil || wire.metadata != nil {
				fail()
				return nil, errors.New("it cannot be encoded")
			}
			return encodeJSON(wire)
		})
		require.NoError(t, err, name)
		require.JSONEq(t, `{"workflowId": "wf", "id": "5", "_createdAt": "1970-01-01T00:00:00.000005Z",
			"omitted": ["message", "metadata"]}`, string(b), name)
		require.Contains(t, log.String(), "workflow_id=wf type=message id=5", name)
		require.Contains(t, log.String(), "error=", name)
	}
}

func TestAnItemThatCannotBeEncodedAtAllIsAnError(t *testing.T) {
	t.Parallel()
	encoder := newEncoder(slog.New(slog.DiscardHandler))
	format := feed.NewFormat(func(item *feed.Item) ([]byte, error) {
		return encodeItem(encoder, item, func(wireItem) ([]byte, error) { panic("index out of range") })
	})
	item := newItem(5)
	for range 2 {
		b, err := item.Encoded(format)
		require.ErrorContains(t, err, "index out of range")
		require.Nil(t, b)
	}
}

func TestTheMemoryOfLoggedItemsIsBounded(t *testing.T) {
	t.Parallel()
	log := new(bytes.Buffer)
	encoder := newEncoder(slog.New(slog.NewTextHandler(log, nil)))
	var reporting sync.WaitGroup
	for range 4 { // each is logged once, though four come by it at once
		reporting.Go(func() {
			for n := range maxLogged {
				encoder.report(&feed.Item{WorkflowID: "wf", Type: "log", ID: fmt.Sprint(n)}, []string{"log"}, nil)
			}
		})
	}
	reporting.Wait()
	require.Equal(t, maxLogged, strings.Count(log.String(), "workflow_id=wf"))
	for n := range maxLogged {
		encoder.report(&feed.Item{WorkflowID: "another", Type: "log", ID: fmt.Sprint(n)}, []string{"log"}, nil)
		require.LessOrEqual(t, len(encoder.logged), maxLogged)
	}
	require.Equal(t, maxLogged, strings.Count(log.String(), "workflow_id=another"))
	// Ids of items may be any text, so what they are put together from is kept apart.
	before := strings.Count(log.String(), "\n")
	encoder.report(&feed.Item{WorkflowID: "a", Type: "log", ID: "bc"}, []string{"log"}, nil)
	encoder.report(&feed.Item{WorkflowID: "ab", Type: "log", ID: "c"}, []string{"log"}, nil)
	require.Equal(t, before+2, strings.Count(log.String(), "\n"))
}
