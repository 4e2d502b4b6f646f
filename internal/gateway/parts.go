package gateway

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"sync"

	"github.com/sallyport/sallyport/internal/config"
)

// part is an object with a state of its own (keys, tokens, connections) that one
// generation makes and the next ones take over, as long as their configuration
// makes the same of it.
type part struct {
	partKey
	recipe recipe
	object any
	inner  []*part // made with it, for it alone or for others too
	loops  []loop  // run while a generation has it

	users int                // generations; the supervisor's
	stop  context.CancelFunc // ends the loops; nil before they run
}

// partKey tells the parts of a generation apart.
type partKey struct{ kind, name string }

// recipe is all that a part is made of: blocks of the configuration, contents of
// files, and other parts, as pointers.
type recipe []any

// equals reports whether both make the same. Pointers must be the same one, for
// what they point to lives.
func (r recipe) equals(other recipe) bool {
	return slices.EqualFunc(r, other, func(a, b any) bool {
		if reflect.ValueOf(a).Kind() == reflect.Pointer {
			return a == b
		}
		return reflect.DeepEqual(a, b)
	})
}

// keep returns the part of this kind and name: that of the generation that serves
// if it was made of an equal recipe, else one that make makes. Loops that make
// adds to the builder run as long as a generation has the part.
func keep[T any](b *builder, kind, name string, of recipe, make func() (T, error)) (T, error) {
	key := partKey{kind, name}
	of = append(of, b.config.AllowInsecureHTTP)
	if kind != "secrets" {
		of = append(of, b.store)
	}
	for _, known := range []*part{b.parts[key], b.last.part(key)} {
		if known != nil && known.recipe.equals(of) {
			b.use(known)
			return known.object.(T), nil
		}
	}
	loops, used := len(b.loops), len(b.used)
	object, err := make()
	if err != nil {
		return object, err
	}
	made := &part{partKey: key, recipe: of, object: object, loops: slices.Clone(b.loops[loops:]), inner: slices.Clone(b.used[used:])}
	b.loops = b.loops[:loops]
	b.use(made)
	return object, nil
}

// use counts p, and what it was made with, among the parts of the generation.
func (b *builder) use(p *part) {
	b.used = append(b.used, p)
	b.parts[p.partKey] = p
	for _, inner := range p.inner {
		b.use(inner)
	}
}

// rest makes a part, of this generation alone, of the loops that belong to none.
func (b *builder) rest() {
	b.use(&part{partKey: partKey{"generation", ""}, loops: b.loops})
	b.loops = nil
}

// part returns the part of that key, nil if there is none.
func (g *generation) part(key partKey) *part {
	if g == nil {
		return nil
	}
	return g.parts[key]
}

// files reads the files of TLS blocks and returns what tells their contents
// apart. What is wrong with one is found by those who use it.
func (b *builder) files(blocks ...config.ClientTLS) [][sha256.Size]byte {
	var sums [][sha256.Size]byte
	for _, t := range blocks {
		for _, name := range []string{t.CAFile, t.CertFile, t.KeyFile} {
			if name == "" {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				text = nil
			}
			sums = append(sums, sha256.Sum256(text))
		}
	}
	return sums
}

// loop is a background task with a name for the log.
type loop struct {
	name string
	task runner
}

// runner is what runs until its context ends.
type runner interface {
	Run(ctx context.Context) error
}

// supervisor runs the loops of the parts in use.
type supervisor struct {
	log   *slog.Logger
	life  context.Context // of the gateway
	tasks sync.WaitGroup

	mu sync.Mutex
}

func (s *supervisor) begin(life context.Context, log *slog.Logger) { s.life, s.log = life, log }

// adopt starts what g has and no generation before it had.
func (s *supervisor) adopt(g *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range g.parts {
		if p.users++; p.users > 1 {
			continue
		}
		ctx, stop := context.WithCancel(s.life)
		p.stop = stop
		for _, l := range p.loops {
			s.tasks.Go(func() { s.run(ctx, l) })
		}
	}
}

// run runs one background task; only its part's end may end it.
func (s *supervisor) run(ctx context.Context, l loop) {
	if err := l.task.Run(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("background task ended", "task", l.name, "error", err)
	}
}
