package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Failure is the error of an attempt that the receiver has not accepted.
type Failure struct {
	Reason string // in words, without the URL
	Final  bool   // another attempt would fail as well
	// After is how long the receiver wants to be left alone, or zero.
	After time.Duration
	busy  bool // the endpoint has as many deliveries in flight as it may
}

// Error implements error.
func (f *Failure) Error() string { return f.Reason }

// post makes one attempt. An error is a [*Failure].
func (d *Deliverer) post(ctx context.Context, u *url.URL, request Request, after Cursor) (Delivered, error) {
	body, err := request.payload(after)
	if err != nil {
		return Delivered{}, &Failure{Reason: "the events cannot be encoded: " + err.Error(), Final: true}
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	message, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return Delivered{}, &Failure{Reason: "the URL cannot be called", Final: true}
	}
	if err := d.sign(message, request.ID, body); err != nil {
		return Delivered{}, err
	}
	answer, err := d.clients[u.Scheme].Do(message)
	if err != nil {
		return Delivered{}, d.unanswered(ctx, err)
	}
	// What is left of an answer is not needed, but a short one has to be read for the connection to be used again.
	_, _ = io.CopyN(io.Discard, answer.Body, 16<<10)
	_ = answer.Body.Close()
	return judge(answer, after)
}

// sign sets the headers of Standard Webhooks.
func (d *Deliverer) sign(message *http.Request, id string, body []byte) error {
	host := strings.ToLower(message.URL.Hostname())
	secrets := d.secrets[host]
	if len(secrets) == 0 {
		secrets = d.secrets[""]
	}
	if len(secrets) == 0 {
		return &Failure{Reason: fmt.Sprintf("the worker has no secret for %s; --webhook-secret adds one", host)}
	}
	now := time.Now()
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		signature, err := secret.Sign(id, now, body)
		if err != nil {
			return &Failure{Reason: "the delivery cannot be signed"}
		}
		signatures[i] = signature
	}
	message.Header.Set("Content-Type", "application/json")
	message.Header.Set("User-Agent", "chatfeed")
	message.Header.Set(standardwebhooks.HeaderWebhookID, id)
	message.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	message.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return nil
}

func decodeKey(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }

// unanswered describes an attempt without an answer. The error of the client has the URL in it, which must not be repeated.
func (d *Deliverer) unanswered(ctx context.Context, err error) error {
	var refused *refusedAddress
	var wrapped *url.Error
	var dns *net.DNSError
	switch {
	case errors.As(err, &refused):
		return &Failure{Reason: "the endpoint is refused: " + refused.Error(), Final: true}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &Failure{Reason: fmt.Sprintf("the endpoint did not answer within %s", d.timeout)}
	case ctx.Err() != nil:
		return &Failure{Reason: "the worker is stopping"}
	case errors.As(err, &dns):
		return &Failure{Reason: "the endpoint's name cannot be resolved"}
	case errors.As(err, &wrapped):
		err = wrapped.Err
	}
	return &Failure{Reason: fmt.Sprintf("the endpoint cannot be reached: %v", err)}
}

// judge decides what an answer means.
func judge(answer *http.Response, after Cursor) (Delivered, error) {
	status := answer.StatusCode
	text := strings.TrimSpace(fmt.Sprintf("the endpoint answered %d %s", status, http.StatusText(status)))
	switch {
	case status >= 200 && status < 300:
		return Delivered{After: after}, nil
	case status == http.StatusGone:
		return Delivered{After: after, Gone: true}, nil
	case status >= 300 && status < 400:
		return Delivered{}, &Failure{Reason: text + "; redirects are not followed", Final: true}
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		return Delivered{}, &Failure{Reason: text, After: retryAfter(answer.Header.Get("Retry-After"), time.Now())}
	}
	return Delivered{}, &Failure{Reason: text, Final: true}
}

// retryAfter reads the header of that name: seconds or a date. Anything else, and a time that has passed, is zero.
func retryAfter(header string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseInt(header, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), longestDelay)
}
