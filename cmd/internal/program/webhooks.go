package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"chatfeed/activities"
	"chatfeed/activities/webhook"
	"chatfeed/db"
)

// Webhooks is the commands for deliveries that failed for good.
type Webhooks struct {
	List   WebhooksList   `cmd:"" help:"List the deliveries that failed for good, the oldest first."`
	Replay WebhooksReplay `cmd:"" help:"Deliver some of them again."`
	Drop   WebhooksDrop   `cmd:"" help:"Forget some of them."`
}

// WebhookFlags are the flags of the commands that deliver webhooks.
type WebhookFlags struct {
	WebhookSecret       []string `help:"Secret that signs webhooks: whsec_ and base64, or HOST=whsec_... for one host. May be repeated: each signs. Better in the environment or a file." placeholder:"SECRET"`
	WebhookSecretFile   string   `help:"File with such secrets, one a line." placeholder:"FILE" type:"existingfile"`
	WebhookAllowPrivate []string `help:"Network that webhooks may go to though it is private or local, such as 10.1.0.0/16, and over plain http; may be repeated." placeholder:"NETWORK"`
}

// deliverer makes what delivers webhooks. The error is a usage error that names the flag, and no secret.
func (c WebhookFlags) deliverer(pool *pgxpool.Pool, writer activities.Writer) (*webhook.Deliverer, error) {
	secrets := c.WebhookSecret
	if c.WebhookSecretFile != "" {
		text, err := os.ReadFile(c.WebhookSecretFile)
		if err != nil {
			return nil, usagef("--webhook-secret-file: %v", err)
		}
		secrets = append(secrets[:len(secrets):len(secrets)], strings.Fields(string(text))...)
	}
	deliverer, err := webhook.New(webhook.Config{Secrets: secrets, AllowPrivate: c.WebhookAllowPrivate}, pool, writer)
	var invalid *webhook.ConfigError
	switch {
	case errors.As(err, &invalid) && invalid.Field == "Secrets":
		return nil, usagef("--webhook-secret or --webhook-secret-file: %s", invalid.Reason)
	case errors.As(err, &invalid):
		return nil, usagef("--webhook-allow-private: %s", invalid.Reason)
	}
	return deliverer, err
}

// WebhooksList is the command that lists dead letters.
type WebhooksList struct {
	Database
	JSON bool `help:"Print each as a line of JSON." name:"json"`

	// Out is where they go; nil is standard output.
	Out io.Writer `kong:"-"`
}

// listed is a dead letter as it is listed.
type listed struct {
	ID         string    `json:"id"`
	WorkflowID string    `json:"workflowId"`
	URL        string    `json:"url"` // without its query, which may have a key in it
	Events     int       `json:"events"`
	Attempts   int       `json:"attempts"` // zero if it is not known
	Error      string    `json:"error"`
	Since      time.Time `json:"since"`
}

// Run prints all dead letters.
func (c *WebhooksList) Run(ctx context.Context) error {
	pool, err := c.open(ctx, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	out := orStdout(c.Out)
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	n := 0
	err = eachLetter(ctx, db.NewWebhooks(pool), func(letter db.DeadLetter) error {
		var request webhook.Request
		_ = json.Unmarshal(letter.Request, &request) // it reports its errors when it is delivered
		l := listed{
			letter.ID, letter.WorkflowID, withoutQuery(request.URL), len(request.Events), letter.Attempts, letter.Error, letter.Since.UTC(),
		}
		if c.JSON {
			return lines.Encode(l)
		}
		if n++; n == 1 {
			_, _ = fmt.Fprintln(table, "ID\tWORKFLOW\tSINCE\tATTEMPTS\tURL\tERROR")
		}
		attempts := fmt.Sprint(l.Attempts)
		if l.Attempts == 0 {
			attempts = "?"
		}
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", l.ID, inLine(l.WorkflowID), l.Since.Format(time.RFC3339), attempts,
			inLine(l.URL), inLine(l.Error))
		return err
	})
	if err != nil || c.JSON {
		return err
	}
	if n == 0 {
		_, err := fmt.Fprintln(out, "There are no dead letters.")
		return err
	}
	return table.Flush()
}

// inLine is a text of others that cannot break a line of a table.
func inLine(text string) string {
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(printable(text))
}

func withoutQuery(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// eachLetter calls do with all dead letters, the oldest first. What do changes of those before is of no matter.
func eachLetter(ctx context.Context, store *db.Webhooks, do func(db.DeadLetter) error) error {
	const page = 100
	var last db.DeadLetter
	for {
		letters, err := store.After(ctx, last, page)
		if err != nil {
			return err
		}
		for _, letter := range letters {
			if err := do(letter); err != nil {
				return err
			}
			last = letter
		}
		if len(letters) < page {
			return nil
		}
	}
}

// someLetters are the dead letters that a command is for.
type someLetters struct {
	IDs []string `arg:"" optional:"" name:"id" help:"Ids of the deliveries."`
	All bool     `help:"All of them."`
}

// each calls do with each of the letters.
func (c someLetters) each(ctx context.Context, store *db.Webhooks, do func(db.DeadLetter) error) error {
	if c.All {
		return eachLetter(ctx, store, do)
	}
	for _, id := range c.IDs {
		letter, found, err := store.Get(ctx, id)
		switch {
		case err != nil:
			return err
		case !found:
			return fmt.Errorf("there is no dead letter %s; chatfeed webhooks list shows those that there are", id)
		}
		if err := do(letter); err != nil {
			return err
		}
	}
	return nil
}

// WebhooksReplay is the command that delivers dead letters again.
type WebhooksReplay struct {
	Database
	WebhookFlags
	someLetters

	// Out is where the outcomes go; nil is standard output.
	Out io.Writer `kong:"-"`
}

// Run posts each letter once, with the id that it had, and removes it when the receiver has accepted it. If the receiver of one cannot be
// reached, its others are not tried.
func (c *WebhooksReplay) Run(ctx context.Context) error {
	if (len(c.IDs) > 0) == c.All {
		return usagef("which deliveries? Their ids or --all is accepted")
	}
	pool, err := c.open(ctx, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	writer := db.NewWriter(pool)
	defer writer.Close()
	deliverer, err := c.deliverer(pool, writer)
	if err != nil {
		return err
	}
	defer deliverer.Close()
	store, out := db.NewWebhooks(pool), orStdout(c.Out)
	away := make(map[string]bool) // receivers that cannot be reached, by scheme and host
	failed, n := 0, 0
	err = c.each(ctx, store, func(letter db.DeadLetter) error {
		n++
		done, err := deliverer.Replay(ctx, letter, away)
		outcome := "delivered"
		var failure *webhook.Failure
		switch {
		case errors.As(err, &failure):
			failed++
			outcome = "failed: " + failure.Reason
		case err != nil:
			return err
		case done.Gone:
			outcome = "dropped: the endpoint answered 410, so it wants no more deliveries"
		}
		_, err = fmt.Fprintf(out, "%s  %s\n", letter.ID, inLine(outcome))
		return err
	})
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d deliveries were not accepted, and are kept", failed, n)
	}
	return err
}

// WebhooksDrop is the command that forgets dead letters.
type WebhooksDrop struct {
	Database
	someLetters
	OlderThan time.Duration `help:"Those that have been there for longer than this, such as 720h." placeholder:"TIME"`

	// Out is where the outcomes go; nil is standard output.
	Out io.Writer `kong:"-"`
}

// Run removes the letters. The events stay in the workflows' feeds.
func (c *WebhooksDrop) Run(ctx context.Context) error {
	ways := 0
	for _, given := range []bool{len(c.IDs) > 0, c.All, c.OlderThan != 0} {
		if given {
			ways++
		}
	}
	switch {
	case ways != 1:
		return usagef("which deliveries? Their ids, --all or --older-than is accepted")
	case c.OlderThan < 0:
		return usagef("--older-than: is %s; a positive time is accepted", c.OlderThan)
	}
	pool, err := c.open(ctx, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	store := db.NewWebhooks(pool)
	var n int64
	if len(c.IDs) == 0 {
		n, err = store.DropBefore(ctx, time.Now().Add(-c.OlderThan))
	} else {
		err = c.each(ctx, store, func(letter db.DeadLetter) error {
			dropped, err := store.Drop(ctx, letter.ID)
			if dropped {
				n++
			}
			return err
		})
	}
	if n > 0 || err == nil {
		_, _ = fmt.Fprintf(orStdout(c.Out), "dropped %d\n", n)
	}
	return err
}

func orStdout(w io.Writer) io.Writer {
	if w == nil {
		return os.Stdout
	}
	return w
}
