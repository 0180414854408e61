package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"chatfeed/activities"
	"chatfeed/db"
)

// Config is what a worker needs to deliver. It is the operator's, so it is in no workflow's history.
type Config struct {
	// Secrets sign: "whsec_" and 24 to 64 bytes in base64. Each delivery has a signature by every one, so that a new secret can be
	// added before receivers know it and the old one removed afterwards. After the name of a host and "=", a secret is for that
	// host only, which then gets no signature by those without a name. A receiver that shares its secret with
	// others can be deceived by them.
	Secrets []string
	// AllowPrivate are the networks, as addresses or in CIDR notation, that deliveries may go to though they are not public.
	AllowPrivate []string
}

// Deliverer delivers webhooks. Its methods may be called from any goroutine.
type Deliverer struct {
	writer  activities.Writer
	store   *db.Webhooks
	secrets map[string][]*standardwebhooks.Webhook // by host; those of the empty name are for all others
	busy    inFlight
	timeout time.Duration // of an exchange with a receiver
	clients map[string]*http.Client
}

// ConfigError names the field of a [Config] that is invalid, and says what is accepted. It repeats no secret.
type ConfigError struct{ Field, Reason string }

// Error implements error.
func (e *ConfigError) Error() string { return "webhook: Config." + e.Field + ": " + e.Reason }

// exchangeTime is how long a receiver may take for its answer.
const exchangeTime = 15 * time.Second

// New makes a deliverer that records through writer and reads through pool; both stay the caller's. The caller must Close the
// deliverer. The error is a [*ConfigError].
func New(config Config, pool *pgxpool.Pool, writer activities.Writer) (*Deliverer, error) {
	d := &Deliverer{
		writer: writer, store: db.NewWebhooks(pool), timeout: exchangeTime,
		secrets: make(map[string][]*standardwebhooks.Webhook), clients: make(map[string]*http.Client),
	}
	for i, text := range config.Secrets {
		host, secret, err := parseSecret(text)
		if err != nil {
			return nil, &ConfigError{"Secrets", fmt.Sprintf("secret %d %s", i+1, err)}
		}
		d.secrets[host] = append(d.secrets[host], secret)
	}
	var allowed []netip.Prefix
	for _, text := range config.AllowPrivate {
		prefix, err := network(text)
		if err != nil {
			return nil, &ConfigError{"AllowPrivate", err.Error()}
		}
		allowed = append(allowed, prefix)
	}
	for _, scheme := range []string{"http", "https"} {
		d.clients[scheme] = &http.Client{
			Transport:     newTransport(allowed, scheme == "http"),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return d, nil
}

// Close closes idle connections. No delivery may be going on.
func (d *Deliverer) Close() {
	for _, client := range d.clients {
		client.CloseIdleConnections()
	}
}

func parseSecret(text string) (host string, secret *standardwebhooks.Webhook, err error) {
	const prefix, least, most = "whsec_", 24, 64
	if !strings.HasPrefix(text, prefix) {
		name, rest, found := strings.Cut(text, "=")
		if !found || name == "" || !strings.HasPrefix(rest, prefix) {
			return "", nil, fmt.Errorf("does not begin with %s; %s and %d to %d bytes in base64 are accepted, after HOST= for one host", prefix, prefix, least, most)
		}
		host, text = strings.ToLower(name), rest
	}
	key, err := decodeKey(strings.TrimPrefix(text, prefix))
	if err != nil || len(key) < least || len(key) > most {
		return "", nil, fmt.Errorf("is not %d to %d bytes in base64 after %s", least, most, prefix)
	}
	secret, err = standardwebhooks.NewWebhookRaw(key)
	return host, secret, err
}

// Post records the events of a request and posts them once, outside of an activity: a replay. The request has an ID. A [*Failure] says
// why the receiver has not accepted it.
func (d *Deliverer) Post(ctx context.Context, request Request) (Delivered, error) {
	if err := request.check(); err != nil {
		return Delivered{}, err
	}
	u, err := endpoint(request.URL)
	if err != nil {
		return Delivered{}, err
	}
	release, ok := d.busy.take(origin(u))
	if !ok {
		return Delivered{}, &Failure{Reason: "as many deliveries are in flight as may be; this one has to come back", busy: true}
	}
	defer release()
	after, err := d.record(ctx, request)
	if err != nil {
		return Delivered{}, err
	}
	return d.post(ctx, u, request, after)
}

// Replay posts a dead letter once, with the id that it had, and removes it if the receiver accepts it or wants no more deliveries.
// Otherwise the letter stays, with one more attempt, and the error is a [*Failure]. A receiver that cannot be reached is added to away,
// by scheme and host, and one that is there is not tried.
func (d *Deliverer) Replay(ctx context.Context, letter db.DeadLetter, away map[string]bool) (Delivered, error) {
	var request Request
	if err := json.Unmarshal(letter.Request, &request); err != nil {
		return Delivered{}, err // never: its UnmarshalJSON keeps errors
	}
	u, err := endpoint(request.URL)
	if err != nil {
		return Delivered{}, d.failed(ctx, letter, &Failure{Reason: err.Error(), Final: true})
	}
	if away[origin(u)] {
		return Delivered{}, &Failure{Reason: "was not tried, because its endpoint has just failed"}
	}
	done, err := d.Post(ctx, request)
	var failure *Failure
	var invalid *invalidError
	switch {
	case errors.As(err, &failure):
		away[origin(u)] = !failure.Final
		return Delivered{}, d.failed(ctx, letter, failure)
	case errors.As(err, &invalid):
		return Delivered{}, d.failed(ctx, letter, &Failure{Reason: invalid.Error(), Final: true})
	case err != nil:
		return Delivered{}, err
	}
	_, err = d.store.Drop(ctx, letter.ID)
	return done, err
}

func (d *Deliverer) failed(ctx context.Context, letter db.DeadLetter, failure *Failure) error {
	if err := d.store.Fail(ctx, letter.ID, printable(failure.Reason)); err != nil {
		return err
	}
	return failure
}

// record writes the events, unless they are there, and returns the cursor after them.
func (d *Deliverer) record(ctx context.Context, request Request) (Cursor, error) {
	items, ids := request.items()
	_, err := d.writer.Write(ctx, items...)
	var bad *db.InvalidItemError
	switch {
	case errors.Is(err, db.ErrClosed):
		return 0, &Failure{Reason: "the workflow is closed, and does not have these events: a progress item of it is final", Final: true}
	case errors.As(err, &bad) && bad.Index >= 0:
		return 0, invalidf(fmt.Sprintf("events[%d].%s", bad.Index, bad.Field), "%s", bad.Reason)
	case errors.As(err, &bad):
		return 0, invalidf("events", "%s: %s", bad.Field, bad.Reason)
	case db.Refused(err):
		return 0, &Failure{Reason: "the events are refused by a constraint that the database has of its own", Final: true}
	case err != nil:
		return 0, fmt.Errorf("record events: %w", err)
	}
	newest, err := d.store.Newest(ctx, request.WorkflowID, ids)
	return Cursor(newest), err
}

// bury keeps a letter, and returns the cursor after its events, which are recorded if they can be.
func (d *Deliverer) bury(ctx context.Context, letter Letter) (Delivered, error) {
	if err := letter.Request.check(); err != nil {
		return Delivered{}, err
	}
	after, err := d.record(ctx, letter.Request)
	var failure *Failure
	switch {
	case errors.As(err, &failure):
		after = letter.Request.Before
	case err != nil:
		return Delivered{}, err
	}
	text, err := json.Marshal(letter.Request)
	if err != nil {
		return Delivered{}, err
	}
	reason := printable(letter.Error)
	err = d.store.Bury(ctx, db.DeadLetter{
		ID: letter.Request.ID, WorkflowID: letter.Request.WorkflowID, Request: text, Error: reason, Attempts: max(letter.Attempts, 0),
	})
	if err != nil {
		return Delivered{}, err
	}
	return Delivered{After: after, Dead: true, Error: reason}, nil
}

// printable bounds a reason, and takes from it what PostgreSQL cannot store.
func printable(reason string) string {
	const most = 1000
	return strings.ReplaceAll(strings.ToValidUTF8(reason[:min(len(reason), most)], ""), "\x00", "")
}
