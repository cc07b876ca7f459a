package tsstest_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/derive"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/tsstest"
)

// online is a cluster with stored nonces and a coordinator that holds no share.
type online struct {
	*tsstest.Cluster
	shares      []*tss.KeyShare
	pools       []*frost.Pool
	stock       *frost.Stock
	identity    *tss.Identity
	coordinator frost.Coordinator
}

const coordinatorNumber = 1000

func newOnline(t *testing.T, suite tss.Suite, threshold int, ids [][]uint16, batch int) *online {
	t.Helper()
	o := &online{Cluster: tsstest.NewCluster(t, 5, threshold, ids...)}
	o.shares = o.Keygen(suite)
	o.stock = frost.NewStock(&o.shares[0].Key)
	for i, id := range o.Identities {
		p, err := frost.NewPool(o.shares[i], id, o.Logs[i], tsstest.Reader(5, "pool", uint64(i)))
		if err != nil {
			t.Fatal(err)
		}
		o.pools = append(o.pools, p)
		o.refill(t, i, batch)
	}
	var err error
	if o.identity, err = tss.NewIdentity(tsstest.Reader(5, "coordinator", 0)); err != nil {
		t.Fatal(err)
	}
	o.coordinator = frost.Coordinator{Number: coordinatorNumber, Key: o.identity.Public()}
	return o
}

func (o *online) refill(t *testing.T, i, n int) {
	t.Helper()
	e, err := o.pools[i].Batch(n)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.stock.Add(e); err != nil {
		t.Fatal(err)
	}
}

func (o *online) request(t *testing.T, ids []uint16, r frost.Request) frost.SignedRequest {
	t.Helper()
	sr, err := o.stock.Request(o.identity, coordinatorNumber, ids, r, tsstest.Reader(5, "request", 0))
	if err != nil {
		t.Fatal(err)
	}
	return sr
}

func yes(frost.Request) error { return nil }

// sign lets the signers answer, each the request that pick gives it.
func (o *online) sign(t *testing.T, ids []uint16, pick func(i int) frost.SignedRequest) []tsstest.Result[[]byte] {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return tsstest.Each(ctx, o.Cluster, func(i int) bool { return !o.Owns(i, ids) }, func(ctx context.Context, i int, n *tss.Node) ([]byte, error) {
		return o.pools[i].Sign(ctx, n, o.coordinator, pick(i), yes)
	})
}

func TestOnlineSigning(t *testing.T) {
	t.Parallel()
	for _, suite := range []tss.Suite{tss.SuiteBIP340, tss.SuiteEd25519} {
		for _, shape := range []struct {
			t    int
			ids  [][]uint16
			sign []uint16
		}{
			{2, tsstest.Single(3), []uint16{1, 3}},
			{3, [][]uint16{{1, 4}, {2}, {3}}, []uint16{1, 2, 4}},
		} {
			synctestRun(t, fmt.Sprintf("%s/%v", suite, shape.ids), func(t *testing.T) {
				o := newOnline(t, suite, shape.t, shape.ids, 3)
				for k := range 3 {
					r := frost.Request{Message: []byte{byte(k)}, Path: derive.Path{uint32(k)}}
					if suite == tss.SuiteBIP340 {
						r.Taproot = &frost.Taproot{}
					}
					public, err := frost.PublicKey(&o.shares[0].Key, r)
					if err != nil {
						t.Fatal(err)
					}
					sr := o.request(t, shape.sign, r)
					for i, res := range o.sign(t, shape.sign, func(int) frost.SignedRequest { return sr }) {
						if !o.Owns(i, shape.sign) {
							continue
						}
						if res.Err != nil || !frost.Verify(suite, public, r.Message, res.Value) {
							t.Fatalf("node %d, signature %d: %v", i, k, res.Err)
						}
					}
					// Used once: the very same request, even to one signer alone.
					_, err = o.pools[0].Sign(t.Context(), o.Nodes[0], o.coordinator, sr, yes)
					if !errors.Is(err, frost.ErrUsed) || tss.Culprits(err) != nil {
						t.Errorf("the same request again: %v", err)
					}
				}
				if _, err := o.stock.Request(o.identity, coordinatorNumber, shape.sign, frost.Request{}, tsstest.Reader(1, "", 0)); err == nil {
					t.Error("a request without stored nonces")
				}
			})
		}
	}
}

func synctestRun(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, f)
	})
}

// resign alters a request and signs it anew, as a hostile coordinator can.
func (o *online) resign(sr frost.SignedRequest, alter func(q []byte) []byte) frost.SignedRequest {
	q := alter(slices.Clone(sr.Q))
	return frost.SignedRequest{Q: q, Signature: o.identity.SignRequest(q)}
}

// Attacks A39, A45, A46, A47: what a hostile coordinator may try with stored nonces.
func TestHostileCoordinator(t *testing.T) {
	t.Parallel()
	suite := tss.SuiteEd25519
	ids := []uint16{1, 2}
	r := frost.Request{Message: []byte("pay 1")}
	// Places in Q for two signers: suite 1, keyid 2, epoch 34, T 42, party set 74..,
	const atKeyID, atEpoch, atT = 2, 34, 42
	atNames := 74 + 8 + 2 + 2*34
	atB := atNames + 2*16 + 8
	atMessage := atB + 2*96 + 1 + 2 + 1 + 8 + 8

	for _, c := range []struct {
		name     string
		alter    func(q []byte) []byte
		consumed bool // the nonces are gone
	}{
		{"not signed", nil, false},
		{"cut short", func(q []byte) []byte { return q[:len(q)-1] }, false},
		{"bytes left over", func(q []byte) []byte { return append(q, 0) }, false},
		{"another coordinator's number", func(q []byte) []byte { q[len(q)-1]++; return q }, false},
		{"another key", func(q []byte) []byte { q[atKeyID]++; return q }, false},
		{"another epoch", func(q []byte) []byte { q[atEpoch+7]++; return q }, true},
		{"another sharing", func(q []byte) []byte { q[atT]++; return q }, true},
		{"another suite", func(q []byte) []byte { q[1] = byte(tss.SuiteBIP340); return q }, true},
		{"another message than its digest", func(q []byte) []byte { q[atMessage]++; return q }, true},
		{"own commitment altered", func(q []byte) []byte { copy(q[atB+32:], q[atB+96+32:atB+96+64]); return q }, true},
		{"B with another id", func(q []byte) []byte { q[atB]++; return q }, true},
		{"B with no point", func(q []byte) []byte { clear(q[atB+32 : atB+64]); return q }, true},
		{"unknown nonce", func(q []byte) []byte { q[atNames+15] = 99; return q }, false},
	} {
		synctestRun(t, c.name, func(t *testing.T) {
			o := newOnline(t, suite, 2, tsstest.Single(3), 1)
			sr := o.request(t, ids, r)
			hostile := frost.SignedRequest{Q: sr.Q, Signature: make([]byte, 64)}
			if c.alter != nil {
				hostile = o.resign(sr, c.alter)
			}
			if _, err := o.pools[0].Sign(t.Context(), o.Nodes[0], o.coordinator, hostile, yes); err == nil || errors.Is(err, tss.ErrLocal) {
				t.Fatalf("error is %v", err)
			}
			if got := o.pools[0].Unused() == 0; got != c.consumed {
				t.Errorf("nonces consumed: %v, want %v", got, c.consumed)
			}
			_, err := o.pools[0].Sign(shortly(t), o.Nodes[0], o.coordinator, sr, yes)
			if c.consumed {
				if !errors.Is(err, frost.ErrUsed) || !slices.Equal(tss.Culprits(err), []tss.Member{coordinatorNumber}) {
					t.Errorf("the true request after it: %v, want the coordinator blamed", err)
				}
			} else if errors.Is(err, frost.ErrUsed) {
				t.Errorf("the true request after it: %v", err)
			}
		})
	}

	// A47: one set of nonces, a different message to each signer.
	synctestRun(t, "split", func(t *testing.T) {
		o := newOnline(t, suite, 2, tsstest.Single(3), 1)
		first := o.request(t, ids, r)
		other := frost.Request{Message: []byte("pay 9")}
		second := o.resign(first, func(q []byte) []byte {
			q = append(q[:atMessage], q[atMessage:]...)
			copy(q[atMessage:], other.Message)
			d := other.Digest(suite)
			copy(q[atMessage+len(other.Message):], d[:])
			return q
		})
		for i, res := range o.sign(t, ids, func(i int) frost.SignedRequest {
			if i == 0 {
				return first
			}
			return second
		}) {
			if i < 2 && !slices.Equal(tss.Culprits(res.Err), []tss.Member{coordinatorNumber}) {
				t.Errorf("node %d: %v, want the coordinator blamed", i, res.Err)
			}
		}
	})

	synctestRun(t, "not approved", func(t *testing.T) {
		o := newOnline(t, suite, 2, tsstest.Single(3), 1)
		no := errors.New("policy says no")
		_, err := o.pools[0].Sign(t.Context(), o.Nodes[0], o.coordinator, o.request(t, ids, r), func(got frost.Request) error {
			if string(got.Message) != string(r.Message) {
				t.Error("approve was asked about something else")
			}
			return no
		})
		if !errors.Is(err, no) {
			t.Errorf("error is %v", err)
		}
	})
}

func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// A signer that answers an online request with a wrong share is named.
func TestOnlineCheats(t *testing.T) {
	t.Parallel()
	for _, c := range []cheat{
		{name: "wrong share", tamper: one(1, false, body(flip(9))), kinds: wrong},
		{name: "short", tamper: one(1, false, body(short)), kinds: bad},
		{name: "shows no request", tamper: otherAgreement([]byte{1, 2, 3}), kinds: bad},
		{name: "a show of another round", tamper: func(m tsstest.Message, v bool) []tsstest.Message {
			if m.Round() == 1 {
				return append(one(1, false, body(flip(9)))(m, v), control(roundShow, emptyShow(254))(m))
			}
			return []tsstest.Message{m}
		}, kinds: append(wrong, tss.Malformed)},
		{name: "another agreement, then gone", tamper: thenGone(one(1, false, body(flip(-1)))), unproved: true},
		{name: "never", tamper: one(1, false, silent), absentOnly: true},
	} {
		synctestRun(t, c.name, func(t *testing.T) {
			o := newOnline(t, tss.SuiteBIP340, 3, tsstest.Single(3), 1)
			c.install(o.Cluster)
			sr := o.request(t, []uint16{1, 2, 3}, frost.Request{Message: []byte("m")})
			for i, res := range o.sign(t, []uint16{1, 2, 3}, func(int) frost.SignedRequest { return sr }) {
				if i != cheater {
					c.judge(t, i, res.Err)
				}
			}
		})
	}
}

// otherAgreement sends a share under another agreement, and shows an exhibit for it.
func otherAgreement(exhibit []byte) func(tsstest.Message, bool) []tsstest.Message {
	show := append(append([]byte{0}, hash.U64(uint64(len(exhibit)))...), exhibit...)
	show = append(show, 0, 0, 0, 0)
	return func(m tsstest.Message, _ bool) []tsstest.Message {
		if m.Round() != 1 {
			return nil
		}
		return []tsstest.Message{m.With(flip(-1)(slices.Clone(m.Body()))), control(roundShow, show)(m)}
	}
}

// Attack A47 turned around: a signer shows an older request, to have the coordinator
// blamed for its own wrong agreement. One that shows the true request is named too.
func TestOldRequestFramesNobody(t *testing.T) {
	t.Parallel()
	for _, older := range []bool{true, false} {
		synctestRun(t, fmt.Sprintf("older %v", older), func(t *testing.T) {
			ids := []uint16{1, 2, 3}
			o := newOnline(t, tss.SuiteBIP340, 3, tsstest.Single(3), 2)
			shown, kinds := o.request(t, ids, frost.Request{Message: []byte("earlier")}), bad
			sr := o.request(t, ids, frost.Request{Message: []byte("now")})
			if !older {
				shown, kinds = sr, wrong
			}
			c := cheat{tamper: otherAgreement(append(slices.Clone(shown.Signature), shown.Q...)), kinds: kinds}
			c.install(o.Cluster)
			for i, res := range o.sign(t, ids, func(int) frost.SignedRequest { return sr }) {
				if i != cheater {
					c.judge(t, i, res.Err)
				}
			}
		})
	}
}

// A restart loses all nonces and gives no name to a second one.
func TestPoolAfterRestart(t *testing.T) {
	t.Parallel()
	o := newOnline(t, tss.SuiteEd25519, 2, tsstest.Single(2), 1)
	before := o.request(t, []uint16{1, 2}, frost.Request{Message: []byte("a")})
	p, err := frost.NewPool(o.shares[0], o.Identities[0], o.Logs[0], tsstest.Reader(6, "pool", 0))
	if err != nil {
		t.Fatal(err)
	}
	o.pools[0] = p
	o.refill(t, 0, 1) // the stock takes the new batch
	if _, err := p.Sign(t.Context(), o.Nodes[0], o.coordinator, before, yes); !errors.Is(err, frost.ErrUnknownNonce) || tss.Culprits(err) != nil {
		t.Errorf("a request from before the restart: %v", err)
	}
	if p.Unused() != 1 {
		t.Error("it consumed a new nonce")
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	o := newOnline(t, tss.SuiteEd25519, 2, tsstest.Single(2), 2)
	e, err := o.pools[0].Batch(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.stock.Add(e); err != nil {
		t.Fatal(err)
	}
	if o.stock.Left(1) != 3 || o.pools[0].Unused() != 3 {
		t.Errorf("%d and %d nonces", o.stock.Left(1), o.pools[0].Unused())
	}
	if err := o.stock.Add(e); err == nil {
		t.Error("a batch counts twice")
	}
	for name, alter := range map[string]func(e *tss.Envelope){
		"other sender":  func(e *tss.Envelope) { e.From = o.Identities[1].Public() },
		"stranger":      func(e *tss.Envelope) { e.From = tss.IdentityKey{1} },
		"signature":     func(e *tss.Envelope) { e.Signature[3] ^= 1 },
		"no signature":  func(e *tss.Envelope) { e.Signature = nil },
		"body":          func(e *tss.Envelope) { e.Message[140] ^= 1 },
		"cut short":     func(e *tss.Envelope) { e.Message = e.Message[:127] },
		"no message":    func(e *tss.Envelope) { e.Message = nil },
		"another batch": func(e *tss.Envelope) { binary.BigEndian.PutUint32(e.Message[126:], 77) },
	} {
		fresh, err := o.pools[0].Batch(1)
		if err != nil {
			t.Fatal(err)
		}
		alter(&fresh)
		if err := o.stock.Add(fresh); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, n := range []int{0, -1, frost.MaxBatch + 1} {
		if _, err := o.pools[0].Batch(n); err == nil {
			t.Errorf("a batch of %d", n)
		}
	}
	for range frost.MaxUnused/frost.MaxBatch + 1 {
		_, err = o.pools[0].Batch(frost.MaxBatch)
	}
	if err == nil || o.pools[0].Unused() > frost.MaxUnused {
		t.Errorf("the pool isn't capped: %d", o.pools[0].Unused())
	}
	o.pools[0].Discard()
	if o.pools[0].Unused() != 0 {
		t.Error("Discard leaves nonces")
	}
	if _, err := o.pools[0].Sign(t.Context(), o.Nodes[0], o.coordinator, o.request(t, []uint16{1, 2}, frost.Request{}), yes); !errors.Is(err, frost.ErrUnknownNonce) {
		t.Errorf("a discarded nonce: %v", err)
	}
}
