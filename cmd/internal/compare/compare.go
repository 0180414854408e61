// Package compare compares what a server of the polling design answers for a workflow with what a chatfeed server answers, so that
// both can run side by side before clients change over.
package compare

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// The kinds of differences.
const (
	Missing   = "missing"   // only the old server has the item
	Added     = "added"     // only the new server has the item
	Different = "different" // a field differs
	Order     = "order"     // the item stands elsewhere than on the old server
)

// Difference is one difference between the answers for a workflow.
type Difference struct {
	Kind     string `json:"kind"`
	Workflow string `json:"workflow"`
	Type     string `json:"type"`
	ID       string `json:"id"`
	Field    string `json:"field,omitempty"` // which differs
	Old      string `json:"old,omitempty"`   // its values as JSON; empty if the server does not have the field
	New      string `json:"new,omitempty"`
}

// Counts says how many items of each type the old server has.
type Counts map[string]int

// endpoint is an endpoint of the polling design and the type of its items.
type endpoint struct{ name, itemType string }

var endpoints = []endpoint{{"messages", "message"}, {"logs", "log"}, {"stats", "stat"}}

// Workflow compares the answers for one workflow. The old server is read before the new one and again after it, so that an item
// which is written meanwhile is no difference. A field that only the new server has is none either, nor are the items' times:
// chatfeed stamps items itself. But their order is compared.
func Workflow(ctx context.Context, servers Servers, workflow string) ([]Difference, Counts, error) {
	var all []Difference
	counts := make(Counts)
	for _, e := range endpoints {
		before, err := servers.old(ctx, workflow, e)
		if err != nil {
			return nil, nil, err
		}
		current, err := servers.new(ctx, workflow, e)
		if err != nil {
			return nil, nil, err
		}
		after, err := servers.old(ctx, workflow, e)
		if err != nil {
			return nil, nil, err
		}
		counts[e.itemType] = len(after)
		for _, d := range differences(before, current, after) {
			d.Workflow, d.Type = workflow, e.itemType
			all = append(all, d)
		}
	}
	return all, counts, nil
}

// item is an item of an answer, by the names of its fields.
type item map[string]any

func (i item) id() string { return fmt.Sprint(i["id"]) }

// times are the fields that are not compared.
var times = []string{"_createdAt", "createdAt"}

// differences compares the new server's items with those that the old one had before and after.
func differences(before, current, after []item) []Difference {
	var found []Difference
	has := byID(current)
	stayed := byID(after)
	for _, old := range before {
		switch now, ok := has[old.id()]; {
		case ok:
			found = append(found, fields(old, now)...)
		case stayed[old.id()] != nil: // else it was deleted meanwhile
			found = append(found, Difference{Kind: Missing, ID: old.id()})
		}
	}
	had := byID(before)
	for _, now := range current {
		if had[now.id()] == nil && stayed[now.id()] == nil {
			found = append(found, Difference{Kind: Added, ID: now.id()})
		}
	}
	if id, ok := displaced(before, current); ok {
		found = append(found, Difference{Kind: Order, ID: id})
	}
	return found
}

func byID(items []item) map[string]item {
	all := make(map[string]item, len(items))
	for _, i := range items {
		all[i.id()] = i
	}
	return all
}

// fields compares the fields that the old item has.
func fields(old, now item) []Difference {
	var found []Difference
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if slices.Contains(times, name) || same(old[name], now[name]) {
			continue
		}
		d := Difference{Kind: Different, ID: old.id(), Field: name, Old: text(old[name])}
		if value, ok := now[name]; ok {
			d.New = text(value)
		}
		found = append(found, d)
	}
	return found
}

// same compares two values of JSON. Numbers are the same if doubles that are read from them are.
func same(a, b any) bool {
	x, isNumber := a.(json.Number)
	y, too := b.(json.Number)
	if isNumber && too {
		first, err1 := x.Float64()
		second, err2 := y.Float64()
		return err1 == nil && err2 == nil && cmp.Compare(first, second) == 0
	}
	return reflect.DeepEqual(a, b)
}

func text(value any) string {
	b, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// displaced returns the first of the common items that does not stand where the old server has it.
func displaced(old, current []item) (id string, ok bool) {
	first, second := common(old, current), common(current, old)
	for i := range min(len(first), len(second)) {
		if first[i] != second[i] {
			return second[i], true
		}
	}
	return "", false
}

// common returns the ids of those items of a that b has too.
func common(a, b []item) []string {
	var ids []string
	has := byID(b)
	for _, i := range a {
		if has[i.id()] != nil {
			ids = append(ids, i.id())
		}
	}
	return ids
}
