package audit_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
	"chatfeed/feed"
)

// answers is an audit of messages that are written in pieces.
func answers() audit.Config {
	return audit.Config{Workflows: []string{"wf_1", "wf_2"}, Writers: 1, Answers: 4, Items: 600, Rate: 600}
}

func (l *lab) audit(t *testing.T, cfg audit.Config) *audit.Report {
	t.Helper()
	a := l.start(t, cfg)
	written(t, a)
	return finish(t, a)
}

func TestMessagesInPiecesHaveNoFindings(t *testing.T) {
	t.Parallel()
	lab := newLab(t).serve(t)
	report := lab.audit(t, answers())
	require.Empty(t, report.Findings)
	require.True(t, report.Clean())
	require.Equal(t, 600, report.Written)
	require.Equal(t, 600, report.Items+report.Replaced)
	require.Greater(t, report.Replaced, 50)
	require.Positive(t, lab.count(t, "type = 'delta'"), "messages that nobody has finished")
	for _, transport := range report.Transports {
		require.Positive(t, transport.Replaced, transport.Name)
	}
}

func TestDeltasThatTheirMessageDoesNotReplaceAreFound(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.exec(t, `create or replace function chatfeed.finish(workflow text, message text) returns void language sql as ''`)
	report := lab.serve(t).audit(t, answers())
	ofTable, _ := table(report.Findings)
	require.NotEmpty(t, ofTable)
	for _, f := range ofTable {
		require.Equal(t, audit.Late, f.Kind)
		require.Equal(t, "delta", f.Type)
	}
	require.Len(t, ofTable, lab.count(t, `type = 'delta' and exists
		(select from chatfeed.messages m where m.workflow_id = items.workflow_id and m.id = items.body->>'messageId')`))
}

func TestADeltaOfALowerAttemptAfterTheMessageIsFound(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.exec(t, `drop trigger unfinished on chatfeed.deltas`)
	report := lab.serve(t).audit(t, answers())
	ofTable, ofClients := table(report.Findings)
	require.NotEmpty(t, ofTable)
	require.Equal(t, map[audit.Kind]map[string]int{audit.Late: everywhere(len(ofTable))}, byTransport(ofClients))
	for _, f := range ofTable {
		require.Equal(t, audit.Late, f.Kind)
		require.Regexp(t, `:1:[12]:\d+$`, f.ID, "of the first attempt")
	}
}

func TestDeltasThatAreGoneWithoutTheirMessageAreFound(t *testing.T) {
	t.Parallel()
	lab := newLab(t).serve(t)
	a := lab.start(t, answers())
	written(t, a)
	require.NoError(t, a.CatchUp(t.Context()))
	gone := lab.count(t, "type = 'delta'")
	lab.exec(t, `with finishing as materialized (select set_config('chatfeed.finishing', 'on', true))
		delete from chatfeed.deltas using finishing`)
	ofTable, ofClients := table(finish(t, a).Findings)
	require.Equal(t, map[audit.Kind]map[string]int{audit.Unknown: everywhere(gone)}, byTransport(ofClients))
	require.Equal(t, map[audit.Kind]map[string]int{audit.Unwritten: {"": gone}}, byTransport(ofTable))
}

func TestADeltaThatAServerLeavesOutIsFoundThoughItsMessageComes(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.source = altering(func(_ string, items []*feed.Item) []*feed.Item {
		var left []*feed.Item
		for _, item := range items {
			if item.Type != "delta" || !strings.HasSuffix(item.ID, ":1:0") { // the beginning of a text
				left = append(left, item)
			}
		}
		return left
	})
	report := lab.serve(t).audit(t, answers())
	gaps := byTransport(report.Findings)[audit.Gap]
	for name := range everywhere(1) {
		require.Positive(t, gaps[name], name)
	}
}

func TestADeltaThatAServerChangesIsFoundThoughItsMessageComes(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.source = altering(func(_ string, items []*feed.Item) []*feed.Item {
		for i, item := range items {
			if item.Type == "delta" {
				items[i] = other(item, func(o *feed.Item) { o.Body = swapText(o.Body, `"messageId"`, `"messageID"`) })
			}
		}
		return items
	})
	report := lab.serve(t).audit(t, answers())
	require.Greater(t, len(report.Findings), report.Items, "also of deltas that are not in the table any more")
	for _, f := range report.Findings {
		require.Equal(t, audit.Different, f.Kind)
	}
}
