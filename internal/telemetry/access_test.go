package telemetry

import (
	"context"
	"errors"
	"strings"
	"testing"
)

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestLostLinesAreCounted(t *testing.T) {
	t.Parallel()
	l := NewLines(broken{})
	for range 100 {
		l.Add([]byte("line\n"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil || l.Dropped() != 100 {
		t.Errorf("%v, %d lines counted as lost, want 100", err, l.Dropped())
	}
}

func TestEveryLineIsWrittenBeforeTheEnd(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	l := NewLines(&out)
	for range queuedLines {
		l.Add([]byte("line\n"))
	}
	l.Add([]byte("one too many\n"))
	l.Start()()
	if strings.Count(out.String(), "line\n") != queuedLines || l.Dropped() != 1 {
		t.Errorf("%d bytes written, %d lines dropped", out.Len(), l.Dropped())
	}
}
