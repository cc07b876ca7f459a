package tsstest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"hash"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/derive"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/tsstest"
)

var seeds = flag.Int("seeds", 2000, "number of simulated ceremonies")

// Every seed is one life of a key among 2 to 5 members: generation and two
// signatures, over a network that delays, reorders, duplicates and loses, with one
// cheater in most runs. The invariants of THREAT_MODEL.md are checked after each;
// one run in ten is repeated and must send the very same bytes.
func TestSimulate(t *testing.T) {
	t.Parallel()
	n := *seeds
	if testing.Short() {
		n = min(n, 100)
	}
	const chunks = 8
	var mu sync.Mutex
	total := make(map[string]int)
	t.Run("seeds", func(t *testing.T) {
		for chunk := range chunks {
			t.Run(strconv.Itoa(chunk), func(t *testing.T) {
				t.Parallel()
				for seed := chunk; seed < n; seed += chunks {
					var first, second *simulation
					synctest.Test(t, func(t *testing.T) { first = simulate(t, uint64(seed)) })
					if seed%10 == 0 {
						synctest.Test(t, func(t *testing.T) { second = simulate(t, uint64(seed)) })
						if first.digest() != second.digest() {
							t.Errorf("seed %d: a second run sends other bytes", seed)
						}
					}
					mu.Lock()
					for k, v := range first.seen {
						total[k] += v
					}
					mu.Unlock()
					if t.Failed() {
						return
					}
				}
			})
		}
	})
	t.Logf("%d seeds: %v", n, total)
	// A simulation in which nothing happens proves nothing.
	for _, k := range []string{"keys", "signatures", "blamed", "absent"} {
		if !testing.Short() && total[k] < n/20 {
			t.Errorf("only %d times %q in %d seeds", total[k], k, n)
		}
	}
}

type simulation struct {
	*tsstest.Cluster
	t          *testing.T
	seed       uint64
	dishonest  int // index of the cheater, or -1
	lossy      bool
	transcript map[tss.IdentityKey]hash.Hash
	mu         sync.Mutex
	seen       map[string]int
}

func (s *simulation) digest() string {
	var b bytes.Buffer
	for _, id := range s.Identities {
		b.Write(s.transcript[id.Public()].Sum(nil))
	}
	return b.String()
}

func simulate(t *testing.T, seed uint64) *simulation {
	rng := rand.New(rand.NewPCG(seed, 1))
	n := 2 + rng.IntN(4)
	threshold := 2 + rng.IntN(n-1)
	suite := []tss.Suite{tss.SuiteBIP340, tss.SuiteEd25519}[rng.IntN(2)]
	s := &simulation{
		Cluster: tsstest.NewCluster(t, seed, threshold, tsstest.Single(n)...), t: t, seed: seed, dishonest: -1,
		transcript: make(map[tss.IdentityKey]hash.Hash), seen: make(map[string]int),
	}
	for _, id := range s.Identities {
		s.transcript[id.Public()] = sha256.New()
	}
	loss := []float64{0, 0, 0.01, 0.05}[rng.IntN(4)]
	s.lossy = loss > 0
	s.network(loss, []float64{0, 0.1, 0.5}[rng.IntN(3)])
	if rng.IntN(4) > 0 {
		s.dishonest = rng.IntN(n)
		s.cheat(rand.New(rand.NewPCG(seed, 2)))
	}

	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	p := s.KeygenProposal(suite)
	stored := make([]*tss.KeyShare, n)
	results := tsstest.Each(ctx, s.Cluster, nil, func(ctx context.Context, i int, n *tss.Node) (tsstest.KeyShareOf, error) {
		return tsstest.Keygen(ctx, n, p, func(k *tss.KeyShare) error { stored[i] = k; return nil })
	})
	shares := make([]*tss.KeyShare, n)
	for i, r := range results {
		if i == s.dishonest {
			continue
		}
		s.check(fmt.Sprintf("key generation at node %d", i), r.Err)
		if r.Err != nil {
			continue
		}
		// Whoever voted can go live by anyone's certificate, and with the same key.
		for j, late := range stored {
			if j == s.dishonest {
				continue
			}
			if late == nil {
				t.Errorf("seed %d: node %d has a certificate that node %d never voted for", seed, i, j)
			} else if err := r.Value.Certificate.Activates(late); err != nil {
				t.Errorf("seed %d: node %d's certificate at node %d: %v", seed, i, j, err)
			}
			shares[j] = late
		}
	}
	s.punctual("key generation", start)
	usable := slices.ContainsFunc(shares, func(k *tss.KeyShare) bool { return k != nil })
	if !usable {
		return s
	}
	s.seen["keys"]++
	if s.dishonest >= 0 {
		shares[s.dishonest] = stored[s.dishonest]
	}
	for k := range 2 {
		ids := s.Parties.IDs()
		rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		ids = ids[:threshold]
		slices.Sort(ids)
		s.sign(shares, ids, frost.Request{Message: []byte{byte(k)}, Path: derive.Path{uint32(k)}})
	}
	return s
}

func (s *simulation) sign(shares []*tss.KeyShare, ids []uint16, r frost.Request) {
	for i, k := range shares {
		if k == nil && s.Owns(i, ids) {
			return // the cheater threw its own share away
		}
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	honest := slices.IndexFunc(shares, func(k *tss.KeyShare) bool { return k != nil })
	p := s.SignProposal(&shares[honest].Key, ids, r)
	for i, res := range tsstest.Each(ctx, s.Cluster, func(i int) bool { return !s.Owns(i, ids) }, func(ctx context.Context, i int, n *tss.Node) ([]byte, error) {
		return tsstest.Sign(ctx, n, p, shares[i], r)
	}) {
		if i == s.dishonest || !s.Owns(i, ids) {
			continue
		}
		s.check(fmt.Sprintf("signing at node %d", i), res.Err)
		if res.Err != nil {
			continue
		}
		s.seen["signatures"]++
		public, err := frost.PublicKey(&shares[i].Key, r)
		if err != nil {
			s.t.Fatal(err)
		}
		if !frost.Verify(shares[i].Suite, public, r.Message, res.Value) {
			s.t.Errorf("seed %d: node %d released a wrong signature", s.seed, i)
		}
	}
	s.punctual("signing", start)
}

// check is the oracle for one honest member's error: no honest party named, and no
// failure without a reason.
func (s *simulation) check(what string, err error) {
	for _, m := range tss.Culprits(err) {
		s.seen["blamed"]++
		if s.dishonest < 0 || m != s.Member(s.dishonest) {
			s.t.Errorf("seed %d: %s blames the honest party %d: %v", s.seed, what, m, err)
		}
	}
	if err == nil {
		return
	}
	if errors.Is(err, tss.ErrLocal) || errors.Is(err, tss.ErrPanic) {
		s.t.Errorf("seed %d: %s: %v", s.seed, what, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		s.seen["absent"]++
	}
	if s.dishonest < 0 && !s.lossy {
		s.t.Errorf("seed %d: %s fails without a fault: %v", s.seed, what, err)
	}
}

func (s *simulation) punctual(what string, start time.Time) {
	if d := time.Since(start); d > 10*time.Second {
		s.t.Errorf("seed %d: %s took %v, past its deadline", s.seed, what, d)
	}
}

// network delays every message by 1 to 200 ms. No two arrive at one node at the
// same instant, so that a seed fixes the order of everything.
func (s *simulation) network(loss, duplicate float64) {
	index := make(map[tss.IdentityKey]int)
	for i, id := range s.Identities {
		index[id.Public()] = i
	}
	type link struct{ from, to int }
	links := make(map[link]*rand.Rand)
	count := make(map[link]int)
	var mu sync.Mutex
	s.Net.Deliver = func(from, to tss.IdentityKey) []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		l := link{index[from], index[to]}
		if links[l] == nil {
			links[l] = rand.New(rand.NewPCG(s.seed, uint64(l.from)<<32|uint64(l.to)|1<<16))
		}
		rng := links[l]
		one := func() time.Duration {
			count[l]++
			unique := time.Duration(l.from*1000+count[l]) * time.Nanosecond
			return time.Duration(1+rng.IntN(200))*time.Millisecond + unique
		}
		if rng.Float64() < loss {
			return nil
		}
		out := []time.Duration{one()}
		if rng.Float64() < duplicate {
			out = append(out, one())
		}
		return out
	}
	s.Net.Watch = func(from, to tss.IdentityKey, m tsstest.Message) {
		s.mu.Lock()
		defer s.mu.Unlock()
		h := s.transcript[from]
		h.Write(to[:])
		h.Write(m)
	}
}

// cheat alters one kind of the cheater's messages, at random, in ways that the
// tables of cheats also have.
func (s *simulation) cheat(rng *rand.Rand) {
	me := s.Identities[s.dishonest].Public()
	round, private, once := 1+rng.IntN(3), rng.IntN(3) == 0, rng.IntN(2) == 0
	how, at := rng.IntN(9), rng.IntN(1<<16)
	target := s.Identities[rng.IntN(len(s.Identities))].Public()
	var mu sync.Mutex
	s.Net.Tamper = func(from, to tss.IdentityKey, m tsstest.Message) []tsstest.Message {
		mu.Lock()
		defer mu.Unlock()
		if from != me || m.Round() != round || m.Private() != private || once && to != target || len(m.Body()) == 0 {
			return []tsstest.Message{m}
		}
		b := slices.Clone(m.Body())
		switch how {
		case 0, 1, 2:
			b[at%len(b)] ^= 1 << (at % 8)
			return []tsstest.Message{m.With(b)}
		case 3:
			return []tsstest.Message{m.With(b[:at%len(b)])}
		case 4:
			return nil
		case 5:
			m.Echo()[at%32] ^= 1
			return []tsstest.Message{m}
		case 6:
			b[at%len(b)] ^= 1
			return []tsstest.Message{m, m.With(b)}
		case 7:
			accused := tss.Member(1 + at%len(s.Identities))
			return []tsstest.Message{m, control(roundAbort, accusation(accused, s.Member(s.dishonest)))(m)}
		default:
			return []tsstest.Message{m, control(roundShow, b)(m)}
		}
	}
}
