package gateway

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/telemetry"
)

// accessLog is where access lines go. It is one for the life of the process, so
// that no line of a request that outlives its configuration is lost; a reload
// may change the place.
type accessLog struct {
	options Options
	lines   *telemetry.Lines
	place   atomic.Pointer[place]
}

// place is somewhere lines can go.
type place struct {
	io.Writer
	file *os.File // nil: not ours to close
}

func newAccessLog(o Options, registry prometheus.Registerer) *accessLog {
	a := &accessLog{options: o}
	a.lines = telemetry.NewLines(a)
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "gateway_access_log_dropped_total", Help: "Access log lines lost because their writer was blocked or failed.",
	}, func() float64 { return float64(a.lines.Dropped()) }))
	return a
}

// openPlace opens where: stdout, stderr, a file, or for "" nowhere.
func (a *accessLog) openPlace(where string) (*place, error) {
	switch where {
	case "":
		return &place{Writer: io.Discard}, nil
	case "stdout":
		return &place{Writer: a.options.Stdout}, nil
	case "stderr":
		return &place{Writer: a.options.Stderr}, nil
	}
	file, err := os.OpenFile(where, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	return &place{file, file}, err
}

// move has the lines from now on written to p.
func (a *accessLog) move(p *place) {
	if old := a.place.Swap(p); old != nil {
		old.close()
	}
}

func (p *place) close() {
	if p.file != nil {
		_ = p.file.Close() // what could not be written is counted
	}
}

// Write implements [io.Writer] for the lines. It holds no lock: a blocked pipe
// must not hold up the reload that would move away from it.
func (a *accessLog) Write(lines []byte) (int, error) {
	for {
		p := a.place.Load()
		n, err := p.Write(lines)
		if !errors.Is(err, fs.ErrClosed) || p == a.place.Load() {
			return n, err
		}
	}
}

// start starts the writer; what it returns waits until every line is out.
func (a *accessLog) start() (stop func()) {
	flush := a.lines.Start()
	return func() {
		flush()
		a.move(&place{Writer: io.Discard})
	}
}

// accessLines is where a generation logs: nowhere if its configuration says so.
func (g *generation) accessLines() *telemetry.Lines {
	if g.config.Telemetry.AccessLog == "" {
		return nil
	}
	return g.access.lines
}
