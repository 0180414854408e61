package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Report is the results and the machine. Its methods fail if a scenario has measured an invalid number.
type Report struct {
	Machine  Machine
	Measured []Measured
	Name     string // of its document; empty means benchmarks
}

// Measured is a scenario that has been run.
type Measured struct {
	Scenario Scenario
	Result   *Result
}

// JSON writes one object and a line feed. For one scenario it has the name, the values of the headline and all runs;
// for several, such an object for each under its name. Fractions have three significant digits.
func (r *Report) JSON(w io.Writer) error {
	var all object
	if len(r.Measured) == 1 {
		all.add("scenario", r.Measured[0].Scenario.Name)
	}
	all.add("machine", r.Machine)
	for _, m := range r.Measured {
		values, err := m.object()
		if err != nil {
			return err
		}
		if len(r.Measured) == 1 {
			all = append(all, values...)
		} else {
			all.add(m.Scenario.Name, values)
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}

// Tables writes the results as tables.
func (r *Report) Tables(w io.Writer) error {
	var text bytes.Buffer
	for _, m := range r.Measured {
		rows, err := m.table()
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(&text, "%s\n\n", m.Scenario.Title)
		columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
		for _, row := range rows {
			_, _ = fmt.Fprintf(columns, "%s\t\n", strings.Join(row, "\t"))
		}
		_ = columns.Flush() // writing to a buffer cannot fail
		_, _ = fmt.Fprintln(&text)
	}
	_, err := w.Write(text.Bytes())
	return err
}

// object is the scenario's part of the JSON.
func (m Measured) object() (object, error) {
	var headline object
	runs := make([]object, len(m.Result.Runs))
	for i, run := range m.Result.Runs {
		for _, value := range run.Values {
			if value.Text != "" {
				runs[i].add(value.Key, value.Text)
				continue
			}
			if err := m.finite(value); err != nil {
				return nil, err
			}
			runs[i].add(value.Key, rounded(value.Number))
		}
		if run.Headline {
			headline = runs[i]
		}
	}
	all := append(object(nil), headline...)
	all.add("runs", runs)
	return all, nil
}

// table returns the runs as cells; the first row is the headings.
func (m Measured) table() ([][]string, error) {
	var headings []string
	for _, value := range m.Result.Runs[0].Values {
		headings = append(headings, heading(value.Key))
	}
	rows := [][]string{headings}
	for _, run := range m.Result.Runs {
		var row []string
		for _, value := range run.Values {
			if value.Text != "" {
				row = append(row, value.Text)
				continue
			}
			if err := m.finite(value); err != nil {
				return nil, err
			}
			row = append(row, readable(value.Number))
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// finite refuses values that are not finite.
func (m Measured) finite(v Value) error {
	if math.IsNaN(v.Number) || math.IsInf(v.Number, 0) {
		return fmt.Errorf("%s: %s is %v", m.Scenario.Name, v.Key, v.Number)
	}
	return nil
}

// rounded returns a number with three significant digits. Whole numbers are counts and are not changed.
func rounded(number float64) float64 {
	if number == math.Trunc(number) {
		return number
	}
	three, _ := strconv.ParseFloat(strconv.FormatFloat(number, 'e', 2, 64), 64) // cannot fail: it was just formatted
	return three
}

// readable formats a number, rounded, for people: with separators for thousands, and with trailing zeros in fractions.
func readable(number float64) string {
	text := strconv.FormatFloat(number, 'f', 0, 64)
	if number != math.Trunc(number) {
		number = rounded(number)
		decimals := 2 - int(math.Floor(math.Log10(math.Abs(number))))
		text = strconv.FormatFloat(number, 'f', max(decimals, 0), 64)
	}
	whole, fraction, _ := strings.Cut(text, ".")
	sign := strings.TrimRight(whole, "0123456789")
	whole = strings.TrimPrefix(whole, sign)
	for at := len(whole) - 3; at > 0; at -= 3 {
		whole = whole[:at] + "," + whole[at:]
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction
}

// heading is a key as a column heading: words, and the unit in parentheses.
func heading(key string) string {
	unit := regexp.MustCompile(`(?:_(ns|us|ms|s|kb|kib|mb|mib|bytes|percent))?(_per_[a-z]+)*$`)
	at := unit.FindStringIndex(key)[0]
	name, of := strings.ReplaceAll(key[:at], "_", " "), strings.TrimPrefix(key[at:], "_")
	if of == "" || name == "" {
		return strings.ReplaceAll(key, "_", " ")
	}
	first, rest, more := strings.Cut(of, "_")
	switch first {
	case "us":
		first = "µs"
	case "kb", "mb":
		first = strings.ToUpper(first)
	case "kib", "mib":
		first = strings.ToUpper(first[:1]) + "iB"
	case "percent":
		first = "%"
	}
	if more {
		first += " " + strings.ReplaceAll(rest, "_", " ")
	}
	return name + " (" + first + ")"
}

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

func (o *object) add(name string, value any) { *o = append(*o, member{name, value}) }

// MarshalJSON implements [json.Marshaler].
func (o object) MarshalJSON() ([]byte, error) {
	text := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			text = append(text, ',')
		}
		for _, part := range []any{m.name, m.value} {
			encoded, err := json.Marshal(part)
			if err != nil {
				return nil, err
			}
			text = append(append(text, encoded...), ':')
		}
		text = text[:len(text)-1]
	}
	return append(text, '}'), nil
}
