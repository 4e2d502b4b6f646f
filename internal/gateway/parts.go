package gateway

import (
	"context"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/secrets"
)

// part is an object with a state of its own (keys, tokens, connections) that one
// generation makes and the next ones take over, as long as their configuration
// makes the same of it.
type part struct {
	partKey
	recipe recipe
	object any
	inner  []*part        // made with it, for it alone or for others too
	loops  []loop         // run while a generation has it
	scope  *secrets.Scope // of the secrets it reads; nil: none
	reads  *store         // where they come from, those of inner too; nil: there are none

	users int                // generations; the supervisor's
	stop  context.CancelFunc // ends the loops
	ended sync.WaitGroup     // of the loops
}

// drop lets go of what a part holds that is no longer used, or never was.
func (p *part) drop() {
	if p.scope != nil {
		p.scope.Close()
	}
	if idle, ok := p.object.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
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
// adds to the builder run as long as a generation has the part. Where its secrets
// come from and allow_insecure_http need not stand in the recipe.
func keep[T any](b *builder, kind, name string, of recipe, make func() (T, error)) (T, error) {
	key := partKey{kind, name}
	of = append(of, b.config.AllowInsecureHTTP)
	for _, known := range []*part{b.parts[key], b.last.part(key)} {
		if known != nil && known.recipe.equals(of) && (known.reads == nil || known.reads == b.store) {
			b.use(known)
			return known.object.(T), nil
		}
	}
	loops, used, scope := len(b.loops), len(b.used), b.scope
	b.scope = nil
	object, err := make()
	made := &part{
		partKey: key, recipe: of, object: object, scope: b.scope,
		loops: slices.Clone(b.loops[loops:]), inner: slices.Clone(b.used[used:]),
	}
	b.loops, b.scope = b.loops[:loops], scope
	if err != nil {
		made.object = nil
		made.drop()
		return object, err
	}
	if made.scope != nil || slices.ContainsFunc(made.inner, func(p *part) bool { return p.reads != nil }) {
		made.reads = b.store
	}
	b.use(made)
	return object, nil
}

// value is the live value of a secret place, for what is being built.
func (b *builder) value(s config.Secret) *secrets.Value {
	if _, literal := s.Literal(); b.scope == nil && !literal {
		b.scope = b.store.Scope()
	}
	return valueIn(b.scope, s)
}

// use counts p, and what it was made with, among the parts of the generation.
func (b *builder) use(p *part) {
	b.used = append(b.used, p)
	b.parts[p.partKey], b.uses[p] = p, true
	for _, inner := range p.inner {
		b.use(inner)
	}
}

// rest makes a part, of this generation alone, of the loops that belong to none.
func (b *builder) rest() {
	b.use(&part{partKey: partKey{"generation", ""}, loops: b.loops, scope: b.scope})
	b.use(&part{partKey: partKey{"generation", "secrets"}, scope: b.generation.scope})
	b.loops = nil
}

// discard lets go of what was built and comes to no use.
func (b *builder) discard() {
	for p := range b.uses {
		if p.users == 0 {
			p.drop()
		}
	}
	if b.generation.scope != nil {
		b.generation.scope.Close()
	}
	if b.lines != nil {
		b.lines.close()
	}
	b.audited.end()
	b.forgetSeries(b.generation)
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
func (b *builder) files(blocks ...config.ClientTLS) []sum {
	var sums []sum
	for _, t := range blocks {
		for _, name := range []string{t.CAFile, t.CertFile, t.KeyFile} {
			if name == "" {
				continue
			}
			b.named = append(b.named, name)
			sums = append(sums, sumOf(name))
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

	mu   sync.Mutex
	live map[*generation]bool // that serve, or have requests in flight
}

func (s *supervisor) begin(life context.Context, log *slog.Logger) {
	s.life, s.log, s.live = life, log, make(map[*generation]bool)
}

// adopt starts what g has and no generation before it had.
func (s *supervisor) adopt(g *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[g] = true
	for p := range g.uses {
		if p.users++; p.users == 1 {
			ctx, stop := context.WithCancel(s.life)
			p.stop = stop
			for _, l := range p.loops {
				p.ended.Add(1)
				s.tasks.Go(func() { defer p.ended.Done(); s.run(ctx, l) })
			}
		}
	}
}

// release ends what g alone had, and waits for the end of that.
func (s *supervisor) release(g *generation) {
	s.mu.Lock()
	var unused []*part
	for p := range g.uses {
		if p.users--; p.users == 0 {
			unused = append(unused, p)
		}
	}
	s.mu.Unlock()
	for _, p := range unused {
		p.stop()
		p.ended.Wait()
		p.drop()
	}
}

// bury forgets g, whose last request has ended.
func (s *supervisor) bury(g *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, g)
}

// generations are those that serve, or have requests in flight.
func (s *supervisor) generations() []*generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.live))
}

// run runs one background task; only its part's end may end it.
func (s *supervisor) run(ctx context.Context, l loop) {
	if err := l.task.Run(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("background task ended", "task", l.name, "error", err)
	}
}
