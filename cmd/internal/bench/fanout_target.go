package bench

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatfeed/db"
	v1 "chatfeed/rpc/chatfeedv1"
)

const textSize = 200 // bytes of an item's text

func feedTarget(ctx context.Context, lab *Lab, began time.Time) (*target, error) {
	server, err := lab.Serve(ctx)
	if err != nil {
		return nil, err
	}
	writer := db.NewWriter(lab.Pool)
	publish := func(ctx context.Context, workflows []string) error {
		items := make([]db.Item, len(workflows))
		for i, workflow := range workflows {
			items[i] = db.Message{WorkflowID: workflow, Role: "assistant", Message: stampedNow(began)}
		}
		_, err := writer.Write(ctx, items...)
		return err
	}
	return &target{server: server, publish: publish, closeWriter: writer.Close}, nil
}

func baselineTarget(ctx context.Context, lab *Lab, began time.Time, format Format, workflows []string) (*target, error) {
	server, err := lab.Start(ctx, "baseline")
	if err != nil {
		return nil, err
	}
	s := &target{server: server}
	upToDate, err := format.upToDate()
	if err == nil {
		var frames []byte
		for _, workflow := range workflows {
			frames = appendFrame(frames, workflow, upToDate)
		}
		err = publishFrames(ctx, server, frames)
	}
	if err != nil {
		return nil, errors.Join(err, s.end())
	}
	s.publish = func(ctx context.Context, workflows []string) error {
		var frames []byte
		for _, workflow := range workflows {
			frame, err := format.item(workflow, stampedNow(began))
			if err != nil {
				return err
			}
			frames = appendFrame(frames, workflow, frame)
		}
		return publishFrames(ctx, server, frames)
	}
	return s, nil
}

// sampleID has the length of the ids that PostgreSQL makes.
const sampleID = "msg_0123456789abcdef0123456789abcdef"

// stampedNow is a text that contains the time at which it was made.
func stampedNow(began time.Time) string { return Stamped(time.Since(began).Nanoseconds()) }

// message is an item as a feed server sends it.
func message(workflow, id, text string) *v1.Item {
	return &v1.Item{
		WorkflowId: workflow,
		Id:         id,
		CreatedAt:  timestamppb.New(time.Now().Truncate(time.Microsecond)),
		Item:       &v1.Item_Message{Message: &v1.Message{Role: "assistant", Message: text}},
	}
}

// open opens the streams and measures their memory while they are idle.
func (s *target) open(ctx context.Context, began time.Time, c fanoutLoad, workflows []string) error {
	before, err := s.server.Resident()
	if err != nil {
		return err
	}
	each := make([]string, c.streams)
	for i := range each {
		each[i] = workflows[i%len(workflows)]
	}
	if s.streamSet, err = listenTo(ctx, s.server, began, c.format, each); err != nil {
		return err
	}
	after, err := s.server.Resident()
	s.resident = float64(after-before) / float64(c.streams)
	return err
}

// deliver writes items at a fixed rate, whether earlier ones have arrived or not, and waits until all have.
func (s *target) deliver(ctx context.Context, c fanoutLoad, workflows []string, during time.Duration) error {
	before, err := s.server.CPU()
	if err != nil {
		return err
	}
	began := time.Now()
	const most = 100 // writes per second
	batch := max(1, int(c.items/most))
	tick := time.NewTicker(time.Duration(float64(batch) / c.items * float64(time.Second)))
	defer tick.Stop()
	writing, writeCtx := errgroup.WithContext(ctx)
	perItem := c.streams / c.workflows
	for ctx.Err() == nil && time.Since(began) < during {
		group := make([]string, batch)
		for i := range group {
			group[i] = workflows[(s.next+i)%len(workflows)]
		}
		s.next += batch
		s.published += batch * perItem
		s.counted += batch * perItem
		writing.Go(func() error { return s.publish(writeCtx, group) })
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if err := writing.Wait(); err != nil {
		return err
	}
	if err := s.streamSet.await(ctx, s.published); err != nil {
		return err
	}
	s.busy += time.Since(began)
	after, err := s.server.CPU()
	s.cpu += after - before
	return err
}

// forget drops the measurements.
func (s *target) forget() {
	s.counted, s.cpu, s.busy = 0, 0, 0
	s.streamSet.forget()
}

// worked returns an error if there is not enough data for a result.
func (s *target) worked() error {
	switch {
	case s.counted == 0 || s.streamSet.ages.count() == 0:
		return errors.New("nothing was delivered while it was measured")
	case s.cpu == 0:
		return errors.New("the server's processor time was too short to be measured")
	}
	return nil
}

func (s *target) end() error {
	if s.streamSet != nil {
		s.streamSet.close()
	}
	if s.closeWriter != nil {
		s.closeWriter()
	}
	_, err := s.server.Stop()
	return err
}
