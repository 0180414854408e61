package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"chatfeed/cmd/internal/audit"
	"chatfeed/db"
)

// Audit is the command that checks that clients receive every item once and in order.
type Audit struct {
	Client
	Database
	Watch      []string       `arg:"" optional:"" name:"workflow" help:"Ids of workflows to watch while others write to them."`
	Write      int            `help:"Write this many items, to new workflows, and end when all clients have them." placeholder:"N"`
	Rate       float64        `help:"Write this many items per second; 0 means as many as possible." default:"0"`
	Workflows  int            `help:"How many new workflows to write to." default:"4"`
	Streams    int            `help:"How many clients follow each workflow on each transport." default:"1"`
	Transports []string       `name:"transport" help:"Only transports with this in their names, such as gRPC or HTTP/1.1." placeholder:"NAME"`
	For        *time.Duration `help:"End after this time, such as 1m; without it Ctrl-C ends the audit." placeholder:"TIME"`
	Settle     time.Duration  `help:"How long clients may take at the end to have every item." default:"30s"`
	JSON       bool           `help:"Print the report as one JSON object." name:"json"`

	// Out is where the report goes; nil is standard output. Terminal is where progress is shown once a second; nil is
	// standard error if that is a terminal.
	Out      io.Writer `kong:"-"`
	Terminal io.Writer `kong:"-"`
}

// Help is shown by --help.
func (*Audit) Help() string {
	return `Follows workflows as a client on every transport, from their first items, and compares what each client received
with the table. Each lost, repeated or misordered item is a finding with the cursor where it happened: use it in
/workflows/ID/chatData?afterTimestamp=CURSOR to see what follows.

A delta may be missing if its message is there: it replaces its deltas, which are deleted. No delta may come after
its message, and in the end each client must show the messages, tool calls and progress that the table's items show.

It exits with 0 if every client received every item of the table, 1 if there are findings or there was nothing to compare, and 2 if
the command line is invalid. The report says how much was compared on each transport. The workflows that it writes to begin
with audit_ and stay in the database; delete them from chatfeed.workflows.

Examples:
  chatfeed audit wf_1 wf_2                              watch two workflows until Ctrl-C
  chatfeed audit wf_1 --for 1m --json                   watch one for a minute, for a program
  chatfeed audit --write 1000                           write 1,000 items and follow them
  chatfeed audit --write 100000 --rate 500 --streams 20 --transport REST --transport gRPC`
}

const (
	auditWriters = 6
	auditAnswers = 2 // more writers, of messages in pieces
	// shownFindings is how many findings are printed as text; JSON has all.
	shownFindings = 100
)

// Run audits until everything is written, the time is over, or ctx ends, and prints the report. The error says that there are
// findings, or that the audit failed.
func (c *Audit) Run(ctx context.Context, log *slog.Logger) error {
	if err := c.check(); err != nil {
		return err
	}
	cfg, err := c.config(log)
	if err != nil {
		return err
	}
	pool, err := db.Open(ctx, c.DatabaseURL)
	if err != nil {
		return usagef("--database-url: %v", err)
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, "select from chatfeed.items limit 0"); err != nil {
		return fmt.Errorf("--database-url: read the table: %w", err)
	}
	cfg.Pool = pool

	background := context.WithoutCancel(ctx) // when ctx ends, the report is still made
	running, err := audit.Start(background, cfg)
	if err != nil {
		return err
	}
	c.wait(ctx, running)
	report, err := c.finish(background, running)
	if err != nil {
		return err
	}
	if err := c.print(report, cfg.Workflows); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return reportError(report)
}

// reportError is nil only if items were compared and there are no findings.
func reportError(report *audit.Report) error {
	var wrong []string
	if len(report.Findings) > 0 {
		wrong = append(wrong, plural(len(report.Findings)+report.More, "finding"))
	}
	if len(report.Unproven) > 0 {
		wrong = append(wrong, "not everything could be audited: "+strings.Join(report.Unproven, "; "))
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// config makes the audit's config from the flags, without its pool.
func (c *Audit) config(log *slog.Logger) (audit.Config, error) {
	cfg := audit.Config{Server: strings.TrimRight(c.Server, "/"), Workflows: c.Watch, Streams: c.Streams, Settle: c.Settle, Log: log}
	switch {
	case len(c.Watch) == 0 && c.Write == 0:
		return cfg, usagef("nothing to audit: name workflows to watch, or --write N items")
	case len(c.Watch) > 0 && c.Write != 0:
		return cfg, usagef("--write: writes to new workflows only and cannot be combined with workflows to watch")
	case c.Write < 0:
		return cfg, usagef("--write: is %d; one or more is accepted", c.Write)
	case !(c.Rate >= 0):
		return cfg, usagef("--rate: is %v; 0 or more is accepted", c.Rate)
	case c.Workflows < 1:
		return cfg, usagef("--workflows: is %d; one or more is accepted", c.Workflows)
	case c.Streams < 1:
		return cfg, usagef("--streams: is %d; one or more is accepted", c.Streams)
	case c.For != nil && *c.For <= 0:
		return cfg, usagef("--for: is %v; a positive time such as 1m is accepted", *c.For)
	case c.Settle <= 0:
		return cfg, usagef("--settle: is %v; a positive time such as 30s is accepted", c.Settle)
	}
	seen := make(map[string]bool)
	for _, workflow := range c.Watch {
		if workflow == "" || seen[workflow] {
			return cfg, usagef("workflow %q: is empty or named twice; each is accepted once", workflow)
		}
		seen[workflow] = true
	}
	if c.Write > 0 {
		cfg.Writers, cfg.Answers, cfg.Items, cfg.Rate = auditWriters, auditAnswers, c.Write, c.Rate
		run := rand.Uint64()
		for n := range c.Workflows {
			cfg.Workflows = append(cfg.Workflows, fmt.Sprintf("audit_%012x_%d", run>>16, n+1))
		}
	}
	var err error
	cfg.Transports, err = c.transports()
	return cfg, err
}

// transports returns the transports that match the flag, each once, or all.
func (c *Audit) transports() ([]audit.Transport, error) {
	all := audit.Transports()
	if len(c.Transports) == 0 {
		return all, nil
	}
	var names []string
	var taken []audit.Transport
	matched := make([]bool, len(c.Transports))
	for _, transport := range all {
		names = append(names, transport.Name)
		takes := false
		for i, part := range c.Transports {
			if strings.Contains(strings.ToLower(transport.Name), strings.ToLower(part)) {
				takes, matched[i] = true, true
			}
		}
		if takes {
			taken = append(taken, transport)
		}
	}
	for i, part := range c.Transports {
		if !matched[i] {
			return nil, usagef("--transport: %q matches no name; there are %s", part, strings.Join(names, ", "))
		}
	}
	return taken, nil
}

// wait returns when the audit should end.
func (c *Audit) wait(ctx context.Context, running *audit.Audit) {
	if c.For != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *c.For)
		defer cancel()
	}
	written := running.Written()
	if c.Write == 0 {
		written = nil
	}
	defer c.showProgress(running)()
	select {
	case <-ctx.Done():
	case <-written:
	}
}

// finish ends the audit and shows progress meanwhile.
func (c *Audit) finish(ctx context.Context, running *audit.Audit) (*audit.Report, error) {
	defer c.showProgress(running)()
	return running.Finish(ctx)
}

// showProgress shows progress once a second until the function that it returns is called.
func (c *Audit) showProgress(running *audit.Audit) (stop func()) {
	terminal := c.Terminal
	if terminal == nil {
		if mode, err := os.Stderr.Stat(); err != nil || mode.Mode()&os.ModeCharDevice == 0 {
			return func() {}
		}
		terminal = os.Stderr
	}
	const blank = "\r\x1b[K"
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			p := running.Progress()
			_, _ = fmt.Fprintf(terminal, blank+"%d written, %d delivered, %s open, %s",
				p.Written, p.Delivered, plural(p.Streams, "stream"), plural(p.Reconnects, "reconnect"))
			select {
			case <-tick.C:
			case <-done:
				_, _ = fmt.Fprint(terminal, blank)
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (c *Audit) print(report *audit.Report, workflows []string) error {
	out := c.Out
	if out == nil {
		out = os.Stdout
	}
	if c.JSON {
		return json.NewEncoder(out).Encode(report)
	}
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "The table has %s of %s (%s).\n", plural(report.Items, "item"),
		plural(len(workflows), "workflow"), some(workflows))
	_, _ = fmt.Fprintf(&b, "%s received %s and reconnected %s.\n", plural(report.Clients, "client"),
		plural(report.Delivered, "item"), plural(report.Reconnects, "time"))
	if c.Write > 0 {
		_, _ = fmt.Fprintf(&b, "%s were written by the audit; %s were replaced by their messages.\n",
			plural(report.Written, "item"), plural(report.Replaced, "delta"))
	}
	for _, t := range report.Transports {
		_, _ = fmt.Fprintf(&b, "%-32s %s, %d delivered, %d compared, %d replaced\n",
			t.Name, plural(t.Clients, "client"), t.Delivered, t.Compared, t.Replaced)
	}
	if report.Clean() {
		b.WriteString("Every client received every item of the table, once and in order, and shows what the table's items show.\n")
	}
	for _, unproven := range report.Unproven {
		_, _ = fmt.Fprintf(&b, "unproven   %s\n", unproven)
	}
	for _, f := range report.Findings[:min(len(report.Findings), shownFindings)] {
		b.WriteString(findingLine(f))
	}
	if more := len(report.Findings) + report.More - shownFindings; more > 0 {
		_, _ = fmt.Fprintf(&b, "and %d more\n", more)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// findingLine formats a finding as one line, with the cursor last, so that it is easy to copy.
func findingLine(f audit.Finding) string {
	parts := []string{fmt.Sprintf("%-10s workflow %q", f.Kind, f.Workflow)}
	if f.ID != "" || f.Type != "" {
		parts = append(parts, fmt.Sprintf("%s %q", f.Type, f.ID))
	}
	if f.CreatedAt != "" {
		parts = append(parts, "createdAt "+f.CreatedAt)
	}
	if f.Transport != "" {
		parts = append(parts, fmt.Sprintf("client %d of %s", f.Client, f.Transport))
	}
	if f.Cursor != "" {
		parts = append(parts, "after "+f.Cursor)
	}
	return strings.Join(parts, ", ") + "\n"
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// some lists a few names.
func some(names []string) string {
	const few = 3
	if len(names) > few {
		return strings.Join(names[:few], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}
