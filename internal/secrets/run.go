package secrets

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// atOnce bounds the reads a Store has going at the same time.
	atOnce = 8
	// perBatch bounds the paths of one read of many.
	perBatch = 100
	// An outage is looked at again this long after the last look began, twice
	// as long each time: at most 4 s, so that its end shows within 5.
	firstRetry, lastRetry = time.Second, 4 * time.Second
)

// Run reads each path every Refresh, and sooner during an outage, until ctx
// ends; then it returns nil.
func (s *Store) Run(ctx context.Context) error {
	s.metrics.add(s)
	defer s.metrics.remove(s)
	for {
		due, wait := s.due()
		// Their errors are kept in the values, which tell of what is new.
		s.launch(ctx, due)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.more:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// Reread reads the path of ref now, or joins the read that goes on, and waits for
// it, but not beyond ctx. Nothing is read that is not watched.
func (s *Store) Reread(ctx context.Context, ref Reference) error {
	s.mu.Lock()
	src := s.byPath[ref.Path]
	s.mu.Unlock()
	if src == nil {
		return fmt.Errorf("secret %s: %w: it is not watched", ref, ErrNotFound)
	}
	f := s.launch(ctx, []want{{source: src}})[0]
	select {
	case <-f.landed:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("secret %s: %w: %w", ref.Path, ErrUnavailable, ctx.Err())
	}
}

// due returns the paths whose time has come, and when to look again. Where the
// backend reads many at once, those due within half a Refresh come along: so
// one watched later soon goes with the others.
func (s *Store) due() (list []want, wait time.Duration) {
	early := time.Duration(0)
	if _, many := s.backend.(BatchReader); many {
		early = s.refresh / 2
	}
	now := s.now()
	wait = 2 * s.refresh
	s.mu.Lock()
	defer s.mu.Unlock()
	var soon []want
	for _, src := range s.sources {
		if src.flight != nil {
			continue // its end wakes Run
		}
		if latest := now.Add(2 * s.refresh); src.next.After(latest) { // the clock was set back
			src.next = latest
		}
		switch in := src.next.Sub(now); {
		case in <= 0:
			list = append(list, want{source: src})
		case in <= early:
			soon = append(soon, want{source: src})
			fallthrough
		default:
			wait = min(wait, in)
		}
	}
	if len(list) > 0 {
		list = append(list, soon...)
	}
	return list, wait
}

// launch has the paths read, or joins the reads that go on, and returns these.
// When ctx ends before it is a read's turn, there is none; one that has begun
// goes on for the others, since its time is bounded anyhow.
func (s *Store) launch(ctx context.Context, list []want) []*flight {
	flights := make([]*flight, len(list))
	var alone, together []*flight
	s.mu.Lock()
	_, many := s.backend.(BatchReader)
	for i, w := range list {
		src := w.source
		if src.flight == nil {
			src.flight = &flight{source: src, values: src.values[:len(src.values):len(src.values)], landed: make(chan struct{})}
			if many && len(src.asking) == 0 {
				together = append(together, src.flight)
			} else { // also where the last answer is still awaited, which must not hold up the rest
				alone = append(alone, src.flight)
			}
		}
		flights[i] = src.flight
	}
	s.mu.Unlock()
	for _, f := range alone {
		go s.carry(ctx, []*flight{f})
	}
	for batch := range slices.Chunk(together, perBatch) {
		go s.carry(ctx, batch)
	}
	return flights
}

// carry reads the paths of flights in one go, when it is their turn.
func (s *Store) carry(ctx context.Context, flights []*flight) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		for _, f := range flights {
			f.off = true
		}
		s.land(flights)
		return
	}
	started := s.now()
	answers := s.ask(context.WithoutCancel(ctx), flights)
	took := s.now().Sub(started)
	changes := s.settle(flights, answers, started, took)
	for _, c := range changes {
		if c.now.version != c.old.version {
			c.value.announce()
		}
	}
	s.land(flights)
}

// settle takes in the answers, and tells of them.
func (s *Store) settle(flights []*flight, answers []answer, started time.Time, took time.Duration) []change {
	name, spread := s.backend.Name(), rand.Float64()
	var all []change
	events := make([]Event, len(flights))
	s.mu.Lock()
	for i, f := range flights {
		changes, changed := f.source.settle(f.values, answers[i].outcomes, started)
		f.source.next = started.Add(s.pause(f.source.failures, spread))
		f.err = answers[i].all()
		events[i] = Event{
			Backend: name, Path: f.source.path, Result: Reason(f.err),
			Version: f.source.version, Changed: changed, Took: took, At: started,
		}
		all = append(all, changes...)
	}
	s.mu.Unlock()
	for _, e := range events {
		s.metrics.count(name, e.Result)
		if s.onRead != nil {
			s.onRead(e)
		}
	}
	for _, c := range all {
		c.value.tell(name, c.old, c.now)
	}
	return all
}

// land ends flights, for those who wait and for Run.
func (s *Store) land(flights []*flight) {
	s.mu.Lock()
	for _, f := range flights {
		if f.source.flight = nil; len(f.source.values) > len(f.values) { // one more came meanwhile
			f.source.next = time.Time{}
		}
		close(f.landed)
	}
	s.mu.Unlock()
	s.wake()
}

// ask asks the backend, for no longer than the timeout even of one that cannot
// be interrupted, as a file on a dead network mount. Such a one is not asked
// for the path again before it has answered, so that no more than one goroutine
// hangs on it.
func (s *Store) ask(ctx context.Context, flights []*flight) []answer {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for i, f := range flights {
		select {
		case f.source.asking <- struct{}{}:
		case <-ctx.Done():
			release(flights[:i])
			return s.late(flights)
		}
	}
	answers := make(chan []answer, 1)
	go func() {
		a := s.look(ctx, flights)
		release(flights) // first, for whoever has the answer may ask again
		answers <- a
	}()
	select {
	case a := <-answers:
		return a
	case <-ctx.Done():
		return s.late(flights)
	}
}

func release(flights []*flight) {
	for _, f := range flights {
		<-f.source.asking
	}
}

// look reads the paths, and picks the values out.
func (s *Store) look(ctx context.Context, flights []*flight) []answer {
	var results []Result
	if len(flights) == 1 {
		doc, err := s.backend.Read(ctx, flights[0].source.path)
		results = []Result{{doc, err}}
	} else {
		paths := make([]string, len(flights))
		for i, f := range flights {
			paths[i] = f.source.path
		}
		results = readMany(ctx, s.backend, paths)
	}
	answers := make([]answer, len(flights))
	for i, f := range flights {
		answers[i] = answerOf(results[i], f.values)
	}
	return answers
}

// late is the answer that there was none in time.
func (s *Store) late(flights []*flight) []answer {
	answers := make([]answer, len(flights))
	for i, f := range flights {
		answers[i] = answerOf(Result{Err: fmt.Errorf("secret %s: %w: no answer within %v", f.source.path, ErrUnavailable, s.timeout)}, f.values)
	}
	return answers
}

// pause is how long after the begin of a read the next one is due, when there
// were so many outages in a row. spread, from 0 to 1, keeps many gateways and
// many paths from asking at once.
func (s *Store) pause(failures int, spread float64) time.Duration {
	wait := time.Duration(float64(s.refresh) * (0.9 + 0.2*spread))
	if failures == 0 {
		return wait
	}
	retry := lastRetry
	if failures < 3 {
		retry = firstRetry << (failures - 1)
	}
	return min(wait, time.Duration(float64(retry)*(0.8+0.2*spread)))
}
