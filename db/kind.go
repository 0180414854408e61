package db

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"chatfeed/db/internal/dbsqlc"
)

// kinds are the types of item. A further one is a file such as log.go, its line here, a table under chatfeed.make_feed_table
// in a migration, and a message of its name in the proto file.
var kinds = []*Kind{messages, logs, stats, progress, deltas, tools}

// Kind is a type of item: its name, its fields, and how PostgreSQL stores them.
type Kind struct {
	name    string // for clients, and the name of its field in the proto file's Item
	table   string
	prefix  string // of made ids
	item    reflect.Type
	columns []column
	needs   []string // the fields of which one has to be there
	usual   int      // how many columns are not sparse; these are the first

	// Statements: see insertion. Each column costs an insert of one row 2 %, so the usual one has none that is sparse.
	insert, insertUsual string
}

// newKind makes the kind of the items T. The fields of its JSON have the order of the columns, without the metadata, which
// every kind has. One of the needed fields has to be there where an item comes as JSON.
func newKind[T Item](name, table, prefix string, needs []string, columns ...column) *Kind {
	k := &Kind{name: name, table: table, prefix: prefix, item: reflect.TypeFor[T](), columns: columns, needs: needs}
	for i := range columns {
		columns[i].begin = fmt.Sprintf("%s%q : ", map[bool]string{true: "{", false: ", "}[i == 0], columns[i].field)
	}
	for k.usual < len(columns) && !columns[k.usual].sparse {
		k.usual++
	}
	k.insert, k.insertUsual = insertion(table, columns), insertion(table, columns[:k.usual])
	return k
}

// Kinds returns the types of item. They are the package's own and never change.
func Kinds() []*Kind { return kinds }

// KindOf returns an item's kind.
func KindOf(item Item) *Kind { return item.kind() }

// KindNamed returns the kind with a name, such as "message", or nil if this version knows none.
func KindNamed(name string) *Kind {
	for _, k := range kinds {
		if k.name == name {
			return k
		}
	}
	return nil
}

// Name is the type's name, such as "message".
func (k *Kind) Name() string { return k.name }

// New returns a pointer to an item of the kind without anything in it, to decode JSON into.
func (k *Kind) New() Item { return reflect.New(k.item).Interface().(Item) }

// Needs returns the fields of which an item in JSON must have one, and the error text for an item that has none.
func (k *Kind) Needs() (fields []string, missing string) {
	if len(k.needs) > 1 {
		return k.needs, fmt.Sprintf("is missing, and so is %s; one of them is required", strings.Join(k.needs[1:], " and "))
	}
	for _, c := range k.columns {
		if c.field == k.needs[0] {
			missing = c.missing
		}
	}
	return k.needs, missing
}

// check notes the first thing that is wrong with what is the kind's own in an item.
func (k *Kind) check(c *checker, item Item) {
	for i := range k.columns {
		k.columns[i].check(c, item)
	}
}

// size is how many bytes the body of an item has, without its labels.
func (k *Kind) size(item Item) int {
	size := 0
	for i := range k.columns {
		if of := k.columns[i].size; of != nil {
			size += of(item)
		}
	}
	return size
}

// violated returns what a check of the kind's table means, or nil for one that is not the kind's.
func (k *Kind) violated(constraint string) error {
	var fields []string
	accepted := ""
	for _, c := range k.columns {
		if c.constraint == constraint {
			fields = append(fields, c.field)
			accepted = c.bound
		}
	}
	if fields == nil {
		return nil
	}
	return &InvalidItemError{Index: -1, Field: strings.Join(fields, " or "), Reason: accepted}
}

// column is a column of a kind's table, which clients see as a field.
type column struct {
	field      string // its name in JSON
	name       string // in the table
	cast       string // its type
	slot       slot
	sparse     bool                 // left out of the JSON where it is empty or false
	begin      string               // what stands before its value in JSON
	missing    string               // what to say where its field is not there and has to be
	constraint string               // the name of the table's check of it
	bound      string               // what the check accepts, in words
	values     func(rows []row) any // an array for the insert
	check      func(*checker, Item)
	size       func(Item) int // of a long text or JSON; nil of others
}

// long is a text of at most 1 MiB.
func long[T Item](field string, at slot, of func(T) string) column {
	c := textual(field, at, of)
	c.constraint, c.bound = c.name+"_length", fmt.Sprintf("at most %d bytes are accepted", maxBody)
	c.check = func(k *checker, item Item) { k.text(field, of(item.(T)), maxBody) }
	c.size = func(item Item) int { return len(of(item.(T))) }
	return c
}

// label is a text of at most 1,000 bytes. Where it is empty, it may have another value.
func label[T Item](field string, at slot, otherwise string, of func(T) string) column {
	c := textual(field, at, func(item T) string {
		if text := of(item); text != "" {
			return text
		}
		return otherwise
	})
	c.constraint, c.bound = "label_length", fmt.Sprintf("at most %d bytes are accepted", maxLabel)
	c.check = func(k *checker, item Item) { k.text(field, of(item.(T)), maxLabel) }
	return c
}

// limited is a text of so many bytes at the most.
func limited[T Item](field string, at slot, most int, of func(T) string) column {
	c := textual(field, at, of)
	c.constraint, c.bound = c.name+"_length", fmt.Sprintf("at most %d bytes are accepted", most)
	c.check = func(k *checker, item Item) { k.text(field, of(item.(T)), most) }
	return c
}

// required is a text that may not be empty.
func required(c column) column {
	check := c.check
	c.check = func(k *checker, item Item) {
		if c.values([]row{{Item: item}}).([]string)[0] == "" {
			k.fail(c.field, "is empty; a text is required")
		}
		check(k, item)
	}
	return c
}

// oneOf is one of these texts.
func oneOf[T Item](field string, at slot, of func(T) string, texts ...string) column {
	c := textual(field, at, of)
	accepted := "accepted are " + strings.Join(texts, ", ")
	c.constraint, c.bound = c.name+"_known", accepted
	c.check = func(k *checker, item Item) {
		if text := of(item.(T)); !slices.Contains(texts, text) {
			k.fail(field, "is %q; %s", text, accepted)
		}
	}
	return c
}

// flag is a field that is left out where it is false.
func flag[T Item](field string, at slot, of func(T) bool) column {
	return column{
		field: field, name: columnName(field), cast: "boolean", slot: at, sparse: true,
		check: func(*checker, Item) {}, values: collect(of),
	}
}

// sparse is a text that is left out of the JSON where it is empty, as clients of today do not expect it.
func sparse(c column) column {
	c.sparse = true
	return c
}

func textual[T Item](field string, at slot, of func(T) string) column {
	return column{
		field: field, name: columnName(field), cast: "text", slot: at, values: collect(of),
		missing: "is missing; a string is accepted, also an empty one",
	}
}

// number is a number from the least to the most, which is accepted in these words.
func number[T Item](field string, at slot, least, most float64, accepted string, of func(T) float64) column {
	c := numeric(field, at, "double precision", least, most, accepted, of)
	c.values = collect(of)
	return c
}

// whole is a whole number from zero to 2,147,483,647.
func whole[T Item](field string, at slot, of func(T) int64) column {
	c := numeric(field, at, "integer", 0, math.MaxInt32, "a whole number from 0 to 2147483647", func(item T) float64 { return float64(of(item)) })
	c.values = collect(func(item T) int32 { return int32(of(item)) }) //nolint:gosec // the check has bounded it
	return c
}

func numeric[T Item](field string, at slot, cast string, least, most float64, accepted string, of func(T) float64) column {
	name := columnName(field)
	return column{
		field: field, name: name, cast: cast, slot: at, missing: "is missing; " + accepted + " is accepted",
		constraint: name + "_range", bound: "accepted is " + accepted,
		check: func(k *checker, item Item) { k.number(field, of(item.(T)), least, most, accepted) },
	}
}

// maxValue is how long a JSON value of an item may be.
const maxValue = 256 << 10

// value is a JSON value, or nil, that clients can decode. In an item it is one deeper than metadata is.
func value[T Item](field string, at slot, of func(T) json.RawMessage) column {
	name := columnName(field)
	return column{
		field: field, name: name, cast: "jsonb", slot: at, missing: "is missing; any JSON value is accepted",
		constraint: name + "_decodable", bound: undecodable,
		values: collect(func(item T) []byte { return of(item) }),
		check: func(k *checker, item Item) {
			if json := of(item.(T)); len(json) > 0 {
				k.value(field, slices.Concat([]byte("["), json, []byte("]")), maxValue+2)
			}
		},
		size: func(item Item) int { return len(of(item.(T))) },
	}
}

// collect returns what makes an array of a value of each row.
func collect[T Item, V any](of func(T) V) func([]row) any {
	return func(rows []row) any {
		values := make([]V, len(rows))
		for i, r := range rows {
			values[i] = of(r.Item.(T))
		}
		return values
	}
}

// columnName is the name that a field has in the tables: token_count of tokenCount.
func columnName(field string) string {
	var name strings.Builder
	for _, r := range field {
		if r >= 'A' && r <= 'Z' {
			name.WriteByte('_')
			r += 'a' - 'A'
		}
		name.WriteRune(r)
	}
	return name.String()
}

// slot is where the view chatfeed.entries has a column: its columns are the same for all kinds.
type slot uint8

const (
	text1 slot = iota
	text2
	text3
	text4
	text5
	number1 // a double
	number2 // whole numbers
	number3
	json1
	json2
)

func (s slot) text(row *dbsqlc.AfterRow) string {
	return *[...]*string{&row.Text1, &row.Text2, &row.Text3, &row.Text4, &row.Text5}[s]
}

func (s slot) whole(row *dbsqlc.AfterRow) int32 {
	if s == number2 {
		return row.Number2
	}
	return row.Number3
}

func (s slot) json(row *dbsqlc.AfterRow) []byte {
	if s == json1 {
		return row.Json1
	}
	return row.Json2
}
