package bench

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	defaultName = "benchmarks"
	intro       = "# Benchmarks\n\n" +
		"`just bench` measures all of this anew and replaces what stands between the `measured` marks; what is written\n" +
		"outside of them stays. Each figure has a baseline that was measured in turns with it, in the same run: the ratios\n" +
		"are what to read.\n"
)

// name is that of the document, and of the folder beside it with the figures.
func (r *Report) name() string { return cmp.Or(r.Name, defaultName) }

// Save writes the results into a folder, which it creates if necessary: the document, benchmarks.md unless the report has a name, and
// in the folder benchmarks, or of that name, the JSON and the plots of each scenario. In an existing document it replaces the sections of
// the measured scenarios and changes nothing else.
func (r *Report) Save(dir string) error {
	figures := filepath.Join(dir, r.name())
	if err := os.MkdirAll(figures, 0o755); err != nil {
		return fmt.Errorf("make the folder of the figures: %w", err)
	}
	for _, m := range r.Measured {
		var text bytes.Buffer
		if err := (&Report{Machine: r.Machine, Measured: []Measured{m}}).JSON(&text); err != nil {
			return err
		}
		if err := save(filepath.Join(figures, m.Scenario.Name+".json"), text.Bytes()); err != nil {
			return err
		}
		for _, plot := range m.Result.Plots {
			picture, err := plot.svg()
			if err != nil {
				return fmt.Errorf("draw %s: %w", plot.Name, err)
			}
			if err := save(filepath.Join(figures, plot.Name+".svg"), picture); err != nil {
				return err
			}
		}
	}
	file := filepath.Join(dir, r.name()+".md")
	document, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the document: %w", err)
	}
	text, err := r.document(string(document))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return save(file, []byte(text))
}

// save writes a file that others may read.
func save(file string, content []byte) error {
	if err := os.WriteFile(file, content, 0o644); err != nil { //nolint:gosec // it is to be published
		return fmt.Errorf("write the figures: %w", err)
	}
	return nil
}

// document puts the results into a document, which may be empty.
func (r *Report) document(text string) (string, error) {
	if strings.TrimSpace(text) == "" && r.Name == "" {
		text = intro
	}
	text, err := replace(text, "machine", r.Machine.markdown())
	if err != nil {
		return "", err
	}
	for _, m := range r.Measured {
		section, err := m.markdown(r.Machine.Date, r.name())
		if err != nil {
			return "", err
		}
		if text, err = replace(text, m.Scenario.Name, section); err != nil {
			return "", err
		}
	}
	return text, nil
}

// replace puts a section between its marks, or appends it with marks if the text does not have them.
func replace(text, name, section string) (string, error) {
	const end = "<!-- end -->"
	begin := fmt.Sprintf("<!-- measured: %s -->", name)
	before, rest, found := strings.Cut(text, begin)
	if !found {
		return strings.TrimRight(text, "\n") + "\n\n" + begin + "\n" + section + end + "\n", nil
	}
	old, after, found := strings.Cut(rest, end)
	if !found || strings.Contains(old, "<!-- measured:") {
		return "", fmt.Errorf("%s has no %s", begin, end)
	}
	return before + begin + "\n" + section + end + after, nil
}

// markdown is the scenario's section of the document.
func (m Measured) markdown(date, figures string) (string, error) {
	rows, err := m.table()
	if err != nil {
		return "", err
	}
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, "## %s\n\n%s\n\n", m.Scenario.Title, strings.TrimSpace(m.Scenario.About))
	for i, row := range rows {
		bold := i > 0 && m.Result.Runs[i-1].Headline
		for _, cell := range row {
			if bold {
				cell = "**" + cell + "**"
			}
			_, _ = fmt.Fprintf(&text, "| %s ", cell)
		}
		_, _ = text.WriteString("|\n")
		if i == 0 {
			_, _ = text.WriteString(strings.Repeat("|--:", len(row)) + "|\n")
		}
	}
	_, _ = fmt.Fprintf(&text, "\nMeasured on %s: [as JSON](%s/%s.json).\n", date, figures, m.Scenario.Name)
	for _, plot := range m.Result.Plots {
		_, _ = fmt.Fprintf(&text, "\n![%s](%s/%s.svg)\n", plot.Title, figures, plot.Name)
	}
	return text.String(), nil
}
