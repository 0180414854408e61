package faults_test

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
	"chatfeed/internal/dbtest"
	"chatfeed/internal/embedded"
)

const (
	fullSoak = time.Minute      // from here on a soak is of full size
	longSoak = 20 * time.Minute // from here on it is long enough to judge the memory
)

// soaking is a world in which one fault follows another.
type soaking struct {
	*world
	out     io.Writer
	began   time.Time
	faults  map[string]int // how often each was inflicted
	samples []held         // of the server that is never stopped, at regular times
}

func TestSoak(t *testing.T) {
	t.Parallel()
	s := &soaking{out: os.Stderr, faults: make(map[string]int)}
	chosen := cmp.Or(*seed, rand.Uint64())
	_, _ = fmt.Fprintf(s.out, "soak: %v, -seed %d\n", *soak, chosen)
	size := setup{
		replicas: 3, prepare: dbtest.MovableClock, heartbeat: time.Second,
		audit: audit.Config{Workflows: workflows(3), Rate: 50, Silence: 5 * time.Second, Settle: time.Minute},
	}
	if *soak >= fullSoak {
		size.heartbeat = 4 * time.Second
		size.audit.Workflows = workflows(2000 / len(audit.Transports()))
		size.audit.Writers, size.audit.Rate, size.audit.Silence = 8, 150, 15*time.Second
	}
	s.world = newWorld(t, size)
	s.random = rand.New(rand.NewPCG(chosen, 0))
	s.protected = 1
	watched := s.replicas[0]
	before := watched.holds(t)
	s.fill()
	s.began = time.Now()
	s.live()
	s.faultsInTurn()
	s.awaitHealthy()
	report := s.finish()

	var after held
	until(t, "no goroutine is left of the streams", func() bool {
		after = watched.holds(t)
		return after.Goroutines <= before.Goroutines+10 // connections to PostgreSQL
	})
	s.summary(report, before, after)
	if *soak >= longSoak {
		_, second, third := s.heaps()
		require.Less(t, third, second*1.15+8, "MB of heap in the last and in the second third")
		require.GreaterOrEqual(t, report.Delivered, 1_000_000)
		require.Len(t, s.faults, len(s.choice()), "every kind of fault was inflicted")
	}
}

// fill writes as many items to each workflow as the servers keep in memory, and has them received in every format, so that
// the memory that the servers use need not grow any more.
func (s *soaking) fill() {
	s.t.Helper()
	if *soak < fullSoak {
		return
	}
	filling := s.config
	filling.Rate, filling.Items = 10*filling.Rate, 256*len(filling.Workflows)
	full, err := audit.Start(s.t.Context(), filling)
	require.NoError(s.t, err)
	<-full.Written()
	s.requireClean(full)
}

// faultsInTurn injects one fault after another, with a pause of up to some seconds between them. None is injected again
// before all others have been.
func (s *soaking) faultsInTurn() {
	s.t.Helper()
	faults := s.choice()
	var names []string
	ends := time.NewTimer(*soak)
	defer ends.Stop()
	tick := time.NewTicker(min(10*time.Second, *soak/9))
	defer tick.Stop()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ends.C:
			return
		case <-tick.C:
			s.samples = append(s.samples, s.replicas[0].holds(s.t))
			s.progress()
		case <-next.C:
			if len(names) == 0 {
				names = slices.Sorted(maps.Keys(faults))
				s.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			}
			faults[names[0]](s.world)
			s.faults[names[0]]++
			names = names[1:]
			next.Reset(time.Duration(s.random.Int64N(int64(min(4*time.Second, *soak/5)))))
		}
	}
}

// choice is the faults of a soak test, by name.
func (s *soaking) choice() map[string]func(*world) {
	faults := map[string]func(*world){
		"terminate all connections": func(w *world) { w.terminated("true"); w.awaitHealthy() },
		"terminate the listeners":   terminateListeners,
		"stop PostgreSQL fast":      stopPostgres(embedded.Fast),
		"stop PostgreSQL at once":   stopPostgres(embedded.Immediate),
		"kill PostgreSQL":           stopPostgres(embedded.Kill),
		"swallow notifications":     swallowNotifications,
		"block reads":               exhaustPool,
		"use up connections":        useUpConnections,
		"fill the disk":             fillDisk,
		"kill servers":              killServers,
		"restart servers":           restartInTurn,
		"step the clock":            stepClockBack(30 * time.Second),
		"erase items":               eraseItems,
		"redact items":              redactItems,
		"write anew at once":        writeAnew(atOnce),
		"write anew in a sweep":     writeAnew(withinASweep),
		"write anew after sweeps":   writeAnew(acrossSweeps),
		"lose commits":              loseCommits,
		"write what is heavy":       heavy(20),
		"fail to read one":          failing,
		"read one slowly":           slowly,
	}
	for name, disturbance := range map[string]disturbance{
		"hold": hold(), "lose": lose(), "reset": reset(), "slow": slow(), "trickle": trickle(),
	} {
		faults["database network: "+name] = overDatabase(disturbance)
		faults["client network: "+name] = overClients(disturbance)
	}
	return faults
}

func (s *soaking) progress() {
	p, now := s.audit.Progress(), s.samples[len(s.samples)-1]
	total := 0
	for _, n := range s.faults {
		total += n
	}
	_, _ = fmt.Fprintf(s.out, "soak: %v, %d written, %d delivered, %d streams, %d reconnects, %d faults, %.1f MB of heap, %d goroutines\n",
		time.Since(s.began).Round(time.Second), p.Written, p.Delivered, p.Streams, p.Reconnects, total, megabytes(now.Heap), now.Goroutines)
}

func (s *soaking) summary(report *audit.Report, before, after held) {
	first, second, third := s.heaps()
	_, _ = fmt.Fprintf(s.out, "soak: %d items, %d clients, %d deliveries, %d reconnects, %d findings\n",
		report.Items, report.Clients, report.Delivered, report.Reconnects, len(report.Findings))
	_, _ = fmt.Fprintf(s.out, "soak: heap %.1f MB before, %.1f, %.1f and %.1f in each third, %.1f after; goroutines %d before, %d after\n",
		megabytes(before.Heap), first, second, third, megabytes(after.Heap), before.Goroutines, after.Goroutines)
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(s.faults)) {
		faults = append(faults, fmt.Sprintf("%s %d", name, s.faults[name]))
	}
	_, _ = fmt.Fprintf(s.out, "soak: %s\n", strings.Join(faults, ", "))
}

// heaps returns the medians of the heap in MB in each third of the samples.
func (s *soaking) heaps() (first, second, third float64) {
	n := len(s.samples)
	return median(s.samples[:n/3]), median(s.samples[n/3 : 2*n/3]), median(s.samples[2*n/3:])
}

func median(samples []held) float64 {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.SortedFunc(slices.Values(samples), func(a, b held) int { return cmp.Compare(a.Heap, b.Heap) })
	return megabytes(sorted[len(sorted)/2].Heap)
}

func megabytes(n uint64) float64 { return float64(n) / (1 << 20) }
