package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"chatfeed/cmd/internal/compare"
)

// Compare is the command that compares a server of the polling design with a chatfeed server.
type Compare struct {
	Client
	Old       string        `help:"Address of the server of the polling design." required:"" placeholder:"URL"`
	Workflows []string      `arg:"" name:"workflow" help:"Ids of the workflows to compare."`
	Settle    time.Duration `help:"How long a difference may last before it is one." default:"5s"`
	JSON      bool          `help:"Print one JSON object." name:"json"`

	// Out is where the result goes; nil is standard output.
	Out io.Writer `kong:"-"`
}

// Help is shown by --help.
func (*Compare) Help() string {
	return `Reads /workflows/ID/messages, /logs and /stats of the old server and chatData of the new one, and prints every item that
only one of them has, every field that differs, and where the order differs. The times of items are not compared, as chatfeed stamps
them itself, and neither are fields that only the new server has. What differs is read again until it is the same or --settle is over,
so both may be compared while workflows write.

It exits with 0 if everything is the same, 1 if something differs or there was nothing to compare, and 2 if the command line
is invalid.

Example:
  chatfeed compare --old http://127.0.0.1:3000 --server http://127.0.0.1:8080 wf_1 wf_2`
}

// compareAgain is the pause before what differs is read again.
const compareAgain = 250 * time.Millisecond

// comparison is the result.
type comparison struct {
	Compared    map[string]compare.Counts `json:"compared"` // by workflow
	Differences []compare.Difference      `json:"differences"`
}

// Run compares and prints the result. The error says that there are differences, or that a server cannot be read.
func (c *Compare) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	if err := (Client{Server: c.Old}).check(); err != nil {
		return usagef("--old: %q is not an address; accepted is a URL such as http://127.0.0.1:3000", c.Old)
	}
	if c.Settle < 0 {
		return usagef("--settle: is %v; 0s or more is accepted", c.Settle)
	}
	servers := compare.Servers{Old: strings.TrimRight(c.Old, "/"), New: strings.TrimRight(c.Server, "/"), Client: c.http()}
	result := comparison{Compared: make(map[string]compare.Counts), Differences: []compare.Difference{}}
	items := 0
	for _, workflow := range c.Workflows {
		found, counts, err := c.settled(ctx, servers, workflow)
		if err != nil {
			return err
		}
		result.Compared[workflow] = counts
		result.Differences = append(result.Differences, found...)
		for _, n := range counts {
			items += n
		}
	}
	if err := c.print(result); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	switch {
	case len(result.Differences) > 0:
		return errors.New(plural(len(result.Differences), "difference"))
	case items == 0:
		return errors.New("nothing was compared: the old server has no items of these workflows")
	}
	return nil
}

// settled compares a workflow until nothing differs or the time is over.
func (c *Compare) settled(
	ctx context.Context, servers compare.Servers, workflow string,
) (found []compare.Difference, counts compare.Counts, err error) {
	for until := time.Now().Add(c.Settle); ; {
		found, counts, err = compare.Workflow(ctx, servers, workflow)
		if err != nil || len(found) == 0 || !time.Now().Before(until) {
			return found, counts, err
		}
		select {
		case <-time.After(compareAgain):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

func (c *Compare) print(result comparison) error {
	out := c.Out
	if out == nil {
		out = os.Stdout
	}
	if c.JSON {
		return json.NewEncoder(out).Encode(result)
	}
	var b strings.Builder
	for _, workflow := range c.Workflows {
		counts := result.Compared[workflow]
		_, _ = fmt.Fprintf(&b, "%s: %s, %s, %s\n", workflow,
			plural(counts["message"], "message"), plural(counts["log"], "log"), plural(counts["stat"], "stat"))
	}
	for _, d := range result.Differences {
		_, _ = fmt.Fprintf(&b, "%-10s workflow %q, %s %q", d.Kind, d.Workflow, d.Type, d.ID)
		if d.Field != "" {
			_, _ = fmt.Fprintf(&b, ", %s: %s there, %s here", d.Field, shownValue(d.Old), shownValue(d.New))
		}
		b.WriteByte('\n')
	}
	if len(result.Differences) == 0 {
		b.WriteString("Everything that the old server has is the same here, in the same order.\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// shownValue shortens a value.
func shownValue(value string) string {
	const most = 60
	switch runes := []rune(value); {
	case value == "":
		return "nothing"
	case len(runes) > most:
		return string(runes[:most]) + "…"
	}
	return value
}
