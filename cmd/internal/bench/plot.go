package bench

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	plotWidth   = vg.Length(640)
	plotHeight  = vg.Length(340)
	plotPadding = vg.Length(14)
)

// svg draws the plot on a white background, so that it is readable on a dark page too. A value that the axis cannot show, such
// as zero on a logarithmic one, leaves a gap.
func (p Plot) svg() ([]byte, error) {
	var all []float64
	for _, s := range p.Series {
		if len(s.Values) != len(p.Labels) {
			return nil, fmt.Errorf("%q has %d values for %d labels", s.Name, len(s.Values), len(p.Labels))
		}
		for _, v := range s.Values {
			if p.shows(v) {
				all = append(all, v)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is nothing to show")
	}
	drawn := p.frame(all)
	legend := plot.NewLegend()
	legend.TextStyle = textStyle(12)
	legend.Top, legend.Left = true, true
	legend.ThumbnailWidth, legend.Padding = 20, 5
	for i, s := range p.Series {
		if p.Bars {
			bars := p.bars(i, s)
			drawn.Add(bars)
			legend.Add(s.Name, bars)
			continue
		}
		for _, part := range p.unbroken(s.Values) {
			line, points, err := plotter.NewLinePoints(part)
			if err != nil {
				return nil, err
			}
			line.Color, line.Width = seriesColor(i), 2
			points.Color, points.Shape, points.Radius = seriesColor(i), draw.CircleGlyph{}, 3.5
			drawn.Add(line, points)
		}
		legend.Add(s.Name, &plotter.Line{LineStyle: draw.LineStyle{Color: seriesColor(i), Width: 2}})
	}
	canvas := vgsvg.NewWith(vgsvg.UseWH(plotWidth, plotHeight))
	page := draw.New(canvas)
	page.SetColor(color.White)
	page.Fill(page.Path())
	page = draw.Crop(page, plotPadding, -plotPadding, plotPadding, -plotPadding)
	beside := legend.Rectangle(page).Size().X*1.1 + plotPadding // other fonts may be wider
	drawn.Draw(draw.Crop(page, 0, -beside, 0, 0))
	legend.Draw(draw.Crop(page, plotWidth-2*plotPadding-beside+plotPadding, 0, 0, -30))
	var picture bytes.Buffer
	_, err := canvas.WriteTo(&picture)
	// The fonts are not embedded; these look similar, and one of them is available everywhere.
	return bytes.ReplaceAll(picture.Bytes(), []byte("font-family:Liberation Sans"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif")), err
}

// frame is the plot without its series.
func (p Plot) frame(all []float64) *plot.Plot {
	drawn := plot.New()
	drawn.Title.Text, drawn.Title.Padding = p.Title, 10
	drawn.Title.TextStyle.Font = textStyle(15).Font
	drawn.X.Label.Text, drawn.Y.Label.Text = p.X, p.Y
	for _, axis := range []*plot.Axis{&drawn.X, &drawn.Y} {
		axis.Label.TextStyle.Font, axis.Label.Padding = textStyle(12).Font, 5
		axis.Tick.Label.Font = textStyle(11).Font
		axis.LineStyle = draw.LineStyle{Color: color.Gray{Y: 0x66}, Width: 0.8}
		axis.Tick.LineStyle, axis.Tick.Length = axis.LineStyle, 4
		axis.Padding = 0
	}
	var places plot.ConstantTicks
	for i, label := range p.Labels {
		places = append(places, plot.Tick{Value: float64(i), Label: label})
	}
	drawn.X.Tick.Marker = places
	drawn.X.Min, drawn.X.Max = -0.5, float64(len(p.Labels))-0.5
	ticks := linearTicks(all)
	if p.Log {
		ticks = logTicks(all)
		drawn.Y.Scale = plot.LogScale{}
	}
	drawn.Y.Tick.Marker = ticks
	drawn.Y.Tick.Width, drawn.Y.Tick.Length = 0, 14 // the grid shows where they are
	drawn.Y.Min, drawn.Y.Max = ticks[0].Value, ticks[len(ticks)-1].Value
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal = draw.LineStyle{Color: color.Gray{Y: 0xdd}, Width: 0.6}
	drawn.Add(grid)
	return drawn
}

func (p Plot) shows(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (v > 0 || v == 0 && !p.Log)
}

// unbroken returns the runs of values that the axis can show, as points of a line.
func (p Plot) unbroken(values []float64) []plotter.XYs {
	var runs []plotter.XYs
	open := false
	for i, v := range values {
		if !p.shows(v) {
			open = false
			continue
		}
		if !open {
			runs = append(runs, nil)
			open = true
		}
		last := &runs[len(runs)-1]
		*last = append(*last, plotter.XY{X: float64(i), Y: v})
	}
	return runs
}

// bars returns a bar of the series for each label, beside those of the other series. They start at the axis wherever it
// begins, unlike those of the plotter package.
func (p Plot) bars(of int, s Series) *barPlotter {
	width := 0.8 / float64(len(p.Series))
	b := &barPlotter{color: seriesColor(of)}
	for i, v := range s.Values {
		if p.shows(v) {
			left := float64(i) - 0.4 + width*float64(of)
			b.bars = append(b.bars, bar{left + width*0.04, left + width*0.96, v})
		}
	}
	return b
}

type bar struct{ left, right, top float64 }

type barPlotter struct {
	color color.Color
	bars  []bar
}

// Plot implements [plot.Plotter].
func (b *barPlotter) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, bar := range b.bars {
		c.FillPolygon(b.color, []vg.Point{
			{X: x(bar.left), Y: y(p.Y.Min)},
			{X: x(bar.left), Y: y(bar.top)},
			{X: x(bar.right), Y: y(bar.top)},
			{X: x(bar.right), Y: y(p.Y.Min)},
		})
	}
}

// Thumbnail implements [plot.Thumbnailer].
func (b *barPlotter) Thumbnail(c *draw.Canvas) {
	r := c.Rectangle
	c.FillPolygon(b.color, []vg.Point{r.Min, {X: r.Min.X, Y: r.Max.Y}, r.Max, {X: r.Max.X, Y: r.Min.Y}})
}

// linearTicks begin at zero and end at or above the greatest value, four to ten steps on.
func linearTicks(values []float64) plot.ConstantTicks {
	most := slices.Max(values)
	if most < 1e-9 {
		most = 1 // all are zero
	}
	step := math.Pow10(int(math.Floor(math.Log10(most / 4))))
	for _, times := range []float64{5, 2} {
		if most/(step*times) >= 4 {
			step *= times
			break
		}
	}
	ticks := plot.ConstantTicks{{Value: 0, Label: "0"}}
	for i := range 10 {
		if ticks[i].Value >= most {
			break
		}
		ticks = append(ticks, tick(step*float64(i+1)))
	}
	return ticks
}

// logTicks are at 1, 2 and 5 times the powers of ten around the values, or at the powers alone where that would be many.
func logTicks(values []float64) plot.ConstantTicks {
	least, most := max(slices.Min(values), 1e-9), slices.Max(values)
	times := []float64{1, 2, 5}
	if most/least > 2000 {
		times = times[:1]
	}
	var ticks plot.ConstantTicks
	for power := math.Floor(math.Log10(least)); power <= math.Log10(most)+1; power++ {
		for _, t := range times {
			next := tick(t * math.Pow(10, power))
			if next.Value <= least {
				ticks = ticks[:0]
			}
			ticks = append(ticks, next)
			if next.Value > most {
				return ticks
			}
		}
	}
	return ticks
}

// tick is labelled with the shortest text for its value.
func tick(value float64) plot.Tick {
	value = rounded(value)
	label := readable(value)
	if strings.Contains(label, ".") {
		label = strings.TrimRight(label, "0")
	}
	return plot.Tick{Value: value, Label: label}
}

func textStyle(size vg.Length) text.Style {
	return text.Style{
		Color:   color.Gray{Y: 0x22},
		Font:    font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, size),
		Handler: plot.DefaultTextHandler,
	}
}

// seriesColor returns a color of the palette of Okabe and Ito, which people with colour blindness can distinguish.
func seriesColor(i int) color.Color {
	palette := []color.RGBA{
		{0x00, 0x72, 0xb2, 0xff},
		{0xd5, 0x5e, 0x00, 0xff},
		{0x00, 0x9e, 0x73, 0xff},
		{0xcc, 0x79, 0xa7, 0xff},
		{0xe6, 0x9f, 0x00, 0xff},
		{0x56, 0xb4, 0xe9, 0xff},
		{0x33, 0x33, 0x33, 0xff},
	}
	return palette[i%len(palette)]
}
