package tss_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/dkg"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/tsstest"
	"github.com/cofferhq/coffer/tss/vss"
)

// assertRedacted checks that no way to print v shows one of the secrets.
func assertRedacted(t *testing.T, v any, secrets ...string) {
	t.Helper()
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		out := fmt.Sprintf(f, v)
		if out != fmt.Sprint(v) {
			t.Errorf("%s of %T goes past its redaction: %s", f, v, out)
		}
		// Where v is a hidden field of something, fmt can't ask it for its form.
		hidden := fmt.Sprintf(f, struct{ v any }{v})
		if f == "%s" && !strings.Contains(hidden, "0x") {
			t.Errorf("what holds a %T shows no address where its secrets are: %s", v, hidden)
		}
		for _, s := range secrets {
			if strings.Contains(out, s) || strings.Contains(hidden, s) {
				t.Errorf("%s of %T shows the secret: %s, hidden %s", f, v, out, hidden)
			}
		}
	}
	if b, err := json.Marshal(v); err == nil {
		t.Errorf("%T has a JSON form: %s", v, b)
	}
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, f)
	})
}

// within gives a second of the test's time.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// join lets every node join the proposal.
func join(t *testing.T, c *tsstest.Cluster, p *tss.Proposal) []tsstest.Result[*tss.Session] {
	t.Helper()
	return tsstest.Each(within(t), c, nil, func(ctx context.Context, _ int, n *tss.Node) (*tss.Session, error) {
		return n.Join(ctx, p, nil)
	})
}

func sessions(t *testing.T, c *tsstest.Cluster, p *tss.Proposal) []*tss.Session {
	t.Helper()
	var out []*tss.Session
	for i, r := range join(t, c, p) {
		if r.Err != nil {
			t.Fatalf("join at node %d: %v", i, r.Err)
		}
		out = append(out, r.Value)
	}
	return out
}

// The session id is the same for all, differs between sessions, and a proposal is
// joined once, even by a node that restarts with its log.
func TestJoin(t *testing.T) {
	bubble(t, "ids", func(t *testing.T) {
		c := tsstest.NewCluster(t, 1, 2, tsstest.Single(3)...)
		p := c.KeygenProposal(tss.SuiteBIP340)
		first := sessions(t, c, p)
		for _, s := range first {
			if s.ID() != first[0].ID() || len(s.Members()) != 3 {
				t.Error("members disagree about the session")
			}
			joins := s.Joins()
			if sid, members, err := tss.SessionID(p, joins); err != nil || sid != s.ID() || len(members) != 3 {
				t.Errorf("the joins don't prove the session id: %v", err)
			}
			joins[1].Signature = slices.Clone(joins[1].Signature)
			joins[1].Signature[0] ^= 1
			if _, _, err := tss.SessionID(p, joins); err == nil {
				t.Error("a forged join proves a session id")
			}
		}
		for i, r := range join(t, c, p) {
			if !errors.Is(r.Err, tss.ErrRepeated) {
				t.Errorf("node %d joins twice: %v", i, r.Err)
			}
		}
		if again := sessions(t, c, c.KeygenProposal(tss.SuiteBIP340)); again[0].ID() == first[0].ID() {
			t.Error("two sessions with one id")
		}
	})

	bubble(t, "refusals", func(t *testing.T) {
		c := tsstest.NewCluster(t, 1, 2, tsstest.Single(3)...)
		p := c.KeygenProposal(tss.SuiteBIP340)
		p.Expiry = tsstest.Epoch
		if _, err := c.Nodes[0].Join(t.Context(), p, nil); !errors.Is(err, tss.ErrExpired) {
			t.Errorf("an expired proposal: %v", err)
		}
		p = c.KeygenProposal(tss.SuiteBIP340)
		p.Parties = parties("xyz")
		if _, err := c.Nodes[0].Join(t.Context(), p, nil); !errors.Is(err, tss.ErrProposal) {
			t.Errorf("a proposal without this node: %v", err)
		}
		shares := c.Keygen(tss.SuiteBIP340)
		r := frost.Request{Message: []byte("m")}
		for name, alter := range map[string]func(*tss.Proposal){
			"key":       func(p *tss.Proposal) { p.KeyID = hash.Sum("x") },
			"epoch":     func(p *tss.Proposal) { p.Epoch++ },
			"source":    func(p *tss.Proposal) { p.Source = hash.Sum("x") },
			"suite":     func(p *tss.Proposal) { p.Suite = tss.SuiteEd25519 },
			"threshold": func(p *tss.Proposal) { p.Threshold, p.Signers = 3, []uint16{1, 2, 3} },
			"owner":     func(p *tss.Proposal) { p.Parties = slices.Clone(p.Parties); p.Parties[2].Owner = owner(7) },
		} {
			p := c.SignProposal(&shares[0].Key, []uint16{1, 2}, r)
			alter(p)
			if _, err := c.Nodes[0].Join(t.Context(), p, shares[0]); !errors.Is(err, tss.ErrOtherKey) {
				t.Errorf("a proposal with another %s: %v", name, err)
			}
		}
		if _, err := c.Nodes[0].Join(t.Context(), c.SignProposal(&shares[0].Key, []uint16{1, 2}, r), nil); !errors.Is(err, tss.ErrProposal) {
			t.Errorf("signing without a share: %v", err)
		}
		if _, err := c.Nodes[0].Join(t.Context(), c.SignProposal(&shares[0].Key, []uint16{2, 3}, r), shares[0]); !errors.Is(err, tss.ErrProposal) {
			t.Errorf("signing without this node: %v", err)
		}
	})

	bubble(t, "someone is away", func(t *testing.T) {
		c := tsstest.NewCluster(t, 1, 2, tsstest.Single(3)...)
		c.Net.Cut(c.Identities[2].Public())
		for i, r := range join(t, c, c.KeygenProposal(tss.SuiteBIP340))[:2] {
			var fs tss.Faults
			if !errors.As(r.Err, &fs) || len(fs) != 1 || fs[0].Party != 3 || fs[0].Kind != tss.Absent || tss.Culprits(r.Err) != nil {
				t.Errorf("node %d: %v", i, r.Err)
			}
		}
	})

	for name, tamper := range map[string]func(m tsstest.Message) tsstest.Message{
		"malformed join":       func(m tsstest.Message) tsstest.Message { return m.With(m.Body()[:63]) },
		"another proposal's":   func(m tsstest.Message) tsstest.Message { m.Body()[0] ^= 1; return m },
		"join with more bytes": func(m tsstest.Message) tsstest.Message { return m.With(append(slices.Clone(m.Body()), 0)) },
	} {
		bubble(t, name, func(t *testing.T) {
			c := tsstest.NewCluster(t, 1, 2, tsstest.Single(3)...)
			c.Net.Tamper = func(from, _ tss.IdentityKey, m tsstest.Message) []tsstest.Message {
				if from == c.Identities[1].Public() {
					m = tamper(m)
				}
				return []tsstest.Message{m}
			}
			for i, r := range join(t, c, c.KeygenProposal(tss.SuiteBIP340)) {
				if i != 1 && !slices.Equal(tss.Culprits(r.Err), []tss.Member{2}) {
					t.Errorf("node %d: %v", i, r.Err)
				}
			}
		})
	}

	// A different nonce to each peer splits the session: nobody goes on, nobody
	// honest is blamed.
	bubble(t, "two nonces", func(t *testing.T) {
		c := tsstest.NewCluster(t, 1, 2, tsstest.Single(3)...)
		c.Net.Tamper = func(from, to tss.IdentityKey, m tsstest.Message) []tsstest.Message {
			if from == c.Identities[1].Public() && to == c.Identities[0].Public() && m.Round() == 0 {
				m.Body()[40] ^= 1
			}
			return []tsstest.Message{m}
		}
		for i, r := range c.TryKeygen(within(t), tss.SuiteBIP340) {
			if r.Err == nil || tss.Culprits(r.Err) != nil {
				t.Errorf("node %d: %v", i, r.Err)
			}
		}
	})
}

// Attack A49: a random source that always gives the same doesn't make two session
// nonces, and so two sessions, alike; one that fails stops the session.
func TestJoinNonceIsHedged(t *testing.T) {
	bubble(t, "constant", func(t *testing.T) {
		net := &tsstest.Network{}
		var nodes []*tss.Node
		var ps tss.Parties
		for i := range 2 {
			id, err := tss.NewIdentity(tsstest.Reader(1, "id", uint64(i)))
			if err != nil {
				t.Fatal(err)
			}
			n, err := tss.NewNode(tss.Config{
				Identity: id, Channel: net.Channel(id), Log: tss.NewMemoryLog(), Now: func() int64 { return now },
				Rand: constant{}, NoLossTolerance: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(n.Close)
			nodes, ps = append(nodes, n), append(ps, tss.Party{ID: uint16(i + 1), Owner: id.Public()})
		}
		seen := make(map[hash.Digest]bool)
		nonces := make(map[string]bool)
		for k := range 3 {
			p := keygen()
			p.Parties, p.Threshold, p.Initiator = ps, 2, uint16(k)
			var wg sync.WaitGroup
			for i, n := range nodes {
				wg.Go(func() {
					s, err := n.Join(t.Context(), p, nil)
					if err != nil {
						t.Error(err)
						return
					}
					if i == 0 {
						joins := s.Joins()
						seen[s.ID()] = true
						for _, j := range joins[:1] {
							nonces[string(j.Message[len(j.Message)-32:])] = true
						}
					}
				})
			}
			wg.Wait()
		}
		if len(seen) != 3 || len(nonces) != 3 {
			t.Errorf("%d session ids and %d nonces in 3 sessions", len(seen), len(nonces))
		}
	})
	for name, cfg := range map[string]func(*tss.Config){
		"identity": func(c *tss.Config) { c.Identity = nil },
		"channel":  func(c *tss.Config) { c.Channel = nil },
		"log":      func(c *tss.Config) { c.Log = nil },
		"clock":    func(c *tss.Config) { c.Now = nil },
	} {
		id, err := tss.NewIdentity(tsstest.Reader(1, "id", 0))
		if err != nil {
			t.Fatal(err)
		}
		c := tss.Config{Identity: id, Channel: (&tsstest.Network{}).Channel(id), Log: tss.NewMemoryLog(), Now: func() int64 { return now }}
		cfg(&c)
		if _, err := tss.NewNode(c); err == nil {
			t.Errorf("a node without %s", name)
		}
	}
}

type constant struct{}

func (constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 42
	}
	return len(p), nil
}

// FAULTS C16, attack A58: bytes that no member of the session signed have no
// effect, and neither have messages of other sessions, keys or versions.
func TestForeignMessages(t *testing.T) {
	bubble(t, "dropped", func(t *testing.T) {
		c := tsstest.NewCluster(t, 1, 2, tsstest.Single(3)...)
		stranger, err := tss.NewIdentity(tsstest.Reader(9, "stranger", 0))
		if err != nil {
			t.Fatal(err)
		}
		c.Net.Channel(stranger)
		c.Net.Tamper = func(from, to tss.IdentityKey, m tsstest.Message) []tsstest.Message {
			for i := range 126 { // each byte of the header altered, signed by a stranger
				b := slices.Clone(m)
				b[i] ^= 1
				sig, err := stranger.SignEnvelope(b)
				if err != nil {
					t.Error(err)
				}
				c.Net.Inject(to, tss.Envelope{From: stranger.Public(), Message: b, Signature: sig})
			}
			for _, b := range [][]byte{nil, {1}, m[:125], m[:126], append(slices.Clone(m), 1)} {
				// The forger claims to be the member: authentication drops it.
				c.Net.Inject(to, tss.Envelope{From: from, Message: b, Signature: make([]byte, 64)})
			}
			return []tsstest.Message{m}
		}
		c.Keygen(tss.SuiteEd25519)
	})
	// Signed by a member itself, but for another session, key, epoch or version.
	for name, at := range map[string]int{"version": 1, "protocol": 2, "suite": 3, "session": 6, "key": 40, "epoch": 77, "sharing": 80} {
		bubble(t, name, func(t *testing.T) {
			c := tsstest.NewCluster(t, 1, 2, tsstest.Single(3)...)
			c.Net.Tamper = func(_, _ tss.IdentityKey, m tsstest.Message) []tsstest.Message {
				other := slices.Clone(m)
				other[at] ^= 1
				return []tsstest.Message{other, m}
			}
			c.Keygen(tss.SuiteBIP340)
		})
	}
}

// A flood for sessions that nobody knows is bounded and doesn't push out the
// messages of another sender.
func TestEarlyMessagesAreBounded(t *testing.T) {
	bubble(t, "flood", func(t *testing.T) {
		c := tsstest.NewCluster(t, 1, 2, tsstest.Single(3)...)
		c.Net.Tamper = func(from, _ tss.IdentityKey, m tsstest.Message) []tsstest.Message {
			out := []tsstest.Message{m}
			if from == c.Identities[1].Public() && m.Round() == 0 {
				for i := range 2000 {
					junk := m.With(make([]byte, 4096))
					copy(junk[6:], hash.U64(uint64(i)))
					out = append(out, junk)
				}
			}
			return out
		}
		for i, r := range c.TryKeygen(within(t), tss.SuiteEd25519) {
			if i != 1 && tss.Culprits(r.Err) != nil {
				t.Errorf("node %d: %v", i, r.Err)
			}
		}
		c.Net.Tamper = nil
		c.Keygen(tss.SuiteEd25519)
	})
}

// Sub-protocols run side by side in sessions of their own, over the same channel.
func TestChild(t *testing.T) {
	bubble(t, "side by side", func(t *testing.T) {
		c := tsstest.NewCluster(t, 1, 2, tsstest.Single(3)...)
		all := sessions(t, c, c.KeygenProposal(tss.SuiteBIP340))
		fine := func(_, _ tss.Member, _ tss.Messages) error { return nil }
		var wg sync.WaitGroup
		for i, s := range all {
			for _, label := range []string{"a", "b", "c"} {
				wg.Go(func() {
					child := s.Child(label)
					defer child.Close()
					child.Start([]tss.Round{{Broadcast: 2}, {Broadcast: 1, Private: 1}, {Broadcast: 33, NoEcho: true}}, fine)
					got, err := child.Broadcast(within(t), []byte{label[0], byte(i)})
					if err != nil {
						t.Errorf("child %s of node %d: %v", label, i, err)
						return
					}
					for j, b := range got {
						if !bytes.Equal(b, []byte{label[0], byte(j)}) {
							t.Errorf("child %s got %q from node %d", label, b, j)
						}
					}
					_, private, err := child.Scatter(within(t), []byte{1}, func(to tss.Member) []byte { return []byte{byte(to)} })
					if err != nil {
						t.Errorf("child %s of node %d: %v", label, i, err)
						return
					}
					for j, b := range private {
						if j != i && !bytes.Equal(b, []byte{byte(child.Me())}) {
							t.Errorf("child %s got %v from node %d", label, b, j)
						}
					}
					if _, err := child.Agree(within(t), []byte{byte(i)}, child.ID()); err != nil {
						t.Errorf("child %s of node %d: %v", label, i, err)
					}
					if _, err := child.Broadcast(t.Context(), nil); err == nil {
						t.Error("a round too many")
					}
				})
			}
		}
		wg.Wait()
		if all[0].Child("a").ID() != all[1].Child("a").ID() || all[0].Child("a").ID() == all[0].Child("b").ID() {
			t.Error("ids of children")
		}
	})
}

// Attack A58: a panic inside a protocol step ends the session, not the process.
func TestGuard(t *testing.T) {
	t.Parallel()
	f := func() (err error) {
		defer tss.Guard(&err)
		var none []int
		return fmt.Errorf("item %d", none[len(none)])
	}
	if err := f(); !errors.Is(err, tss.ErrPanic) {
		t.Errorf("error is %v", err)
	}
}

// A session signs what it was joined for and nothing else.
func TestOtherRequest(t *testing.T) {
	bubble(t, "refused", func(t *testing.T) {
		c := tsstest.NewCluster(t, 1, 2, tsstest.Single(2)...)
		shares := c.Keygen(tss.SuiteBIP340)
		p := c.SignProposal(&shares[0].Key, []uint16{1, 2}, frost.Request{Message: []byte("joined for")})
		for i, r := range tsstest.Each(within(t), c, nil, func(ctx context.Context, i int, n *tss.Node) ([]byte, error) {
			return tsstest.Sign(ctx, n, p, shares[i], frost.Request{Message: []byte("asked for")})
		}) {
			if !errors.Is(r.Err, frost.ErrOtherRequest) {
				t.Errorf("node %d: %v", i, r.Err)
			}
		}
	})
}

func TestSecretsDontPrint(t *testing.T) {
	t.Parallel()
	f, err := vss.NewPolynomial(group.Secp256k1, 2, tsstest.Reader(1, "poly", 0))
	if err != nil {
		t.Fatal(err)
	}
	d, err := dkg.Deal(dkg.Setting{Suite: tss.SuiteEd25519, Threshold: 2}, 1, tsstest.Reader(1, "deal", 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{f, d, f.Coefficients()[0]} {
		if out := fmt.Sprintf("%+d", v); !strings.HasPrefix(out, "[") || strings.ContainsAny(out, "0123456789") {
			t.Errorf("%T prints %s", v, out)
		}
	}
}

func TestKeyShare(t *testing.T) {
	t.Parallel()
	for _, suite := range []tss.Suite{tss.SuiteBIP340, tss.SuiteEd25519} {
		c := tsstest.NewCluster(t, 3, 3, []uint16{1, 4}, []uint16{2}, []uint16{7})
		shares := c.Keygen(suite)
		for i, s := range shares {
			b := s.Bytes()
			back, err := tss.DecodeKeyShare(b)
			if err != nil || !bytes.Equal(back.Bytes(), b) {
				t.Fatalf("round trip of node %d: %v", i, err)
			}
			secret, ok := s.Secret(s.Parties.Owned(s.Owner)[0])
			if !ok {
				t.Fatal("no secret")
			}
			assertRedacted(t, s, hex.EncodeToString(secret.Bytes()[:4]))
			for i := range b {
				alter := slices.Clone(b)
				alter[i] ^= 1
				back, err := tss.DecodeKeyShare(alter)
				// Only what no check of one share can know may differ: key id, epoch,
				// T, chain code, and the owners of other ids.
				if err == nil && bytes.Equal(back.Bytes(), b) {
					t.Errorf("byte %d doesn't count", i)
				}
			}
			for n := range b {
				if _, err := tss.DecodeKeyShare(b[:n]); !errors.Is(err, tss.ErrKeyShare) {
					t.Fatalf("%d bytes: %v", n, err)
				}
			}
			if _, ok := s.Secret(99); ok {
				t.Error("a secret of a foreign id")
			}
		}
		if _, err := tss.NewKeyShare(shares[0].Key, shares[1].Owner, nil); !errors.Is(err, tss.ErrKeyShare) {
			t.Errorf("a share without secrets: %v", err)
		}
		one, _ := shares[2].Secret(7)
		if _, err := tss.NewKeyShare(shares[0].Key, shares[1].Owner, []group.Scalar{one}); err == nil {
			t.Error("another's secret")
		}
		shares[0].Clear()
		if _, ok := shares[0].Secret(1); ok {
			t.Error("Clear leaves the secrets")
		}
	}
}

// §5.5 of key generation: a share stored before the vote becomes live by the
// certificate that others got, and by nothing else.
func TestCertificate(t *testing.T) {
	bubble(t, "late", func(t *testing.T) {
		c := tsstest.NewCluster(t, 4, 2, tsstest.Single(3)...)
		// Node 0 gets no votes.
		c.Net.Tamper = func(_, to tss.IdentityKey, m tsstest.Message) []tsstest.Message {
			if to == c.Identities[0].Public() && m.Round() == 3 {
				return nil
			}
			return []tsstest.Message{m}
		}
		p := c.KeygenProposal(tss.SuiteEd25519)
		stored := make([]*tss.KeyShare, 3)
		results := tsstest.Each(within(t), c, nil, func(ctx context.Context, i int, n *tss.Node) (tsstest.KeyShareOf, error) {
			return tsstest.Keygen(ctx, n, p, func(s *tss.KeyShare) error {
				var err error
				stored[i], err = tss.DecodeKeyShare(s.Bytes())
				return err
			})
		})
		if results[0].Err == nil || stored[0] == nil {
			t.Fatalf("node 0: %v, stored %v", results[0].Err, stored[0])
		}
		cert := results[1].Value.Certificate
		back, err := dkg.DecodeCertificate(cert.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if err := back.Activates(stored[0]); err != nil {
			t.Errorf("the certificate doesn't activate the stored share: %v", err)
		}
		key, err := back.Key(c.Parties, 2)
		if err != nil || !key.Public.Equal(stored[0].Public) {
			t.Errorf("the certificate proves another key: %v", err)
		}

		other := tsstest.NewCluster(t, 5, 2, tsstest.Single(3)...)
		if err := back.Activates(other.Keygen(tss.SuiteEd25519)[0]); err == nil {
			t.Error("the certificate activates another cluster's share")
		}
		c.Net.Tamper = nil
		if err := back.Activates(c.Keygen(tss.SuiteEd25519)[0]); err == nil {
			t.Error("the certificate activates another sharing")
		}
		if _, err := back.Key(c.Parties, 3); err == nil {
			t.Error("another threshold")
		}
		if _, err := back.Key(c.Parties[:2], 2); err == nil {
			t.Error("other parties")
		}
		// Any byte counts.
		b := cert.Bytes()
		for i := range b {
			alter := slices.Clone(b)
			alter[i] ^= 1
			if back, err := dkg.DecodeCertificate(alter); err == nil && back.Activates(stored[0]) == nil {
				t.Errorf("byte %d of %d doesn't count", i, len(b))
			}
		}
		for n := range b {
			if _, err := dkg.DecodeCertificate(b[:n]); err == nil {
				t.Errorf("%d of %d bytes decode", n, len(b))
			}
		}
		// A share of another key, epoch or sharing, even with the same secrets.
		const atID, atEnd = 20, 20 + 32 + 8 + 32
		for i := atID; i < atEnd; i++ {
			alter := stored[0].Bytes()
			alter[i] ^= 1
			other, err := tss.DecodeKeyShare(alter)
			if err != nil {
				t.Fatal(err)
			}
			if err := back.Activates(other); err == nil {
				t.Errorf("the certificate activates a share with byte %d altered", i)
			}
		}
		less := *back
		less.Votes = less.Votes[:2]
		if err := less.Activates(stored[0]); err == nil {
			t.Error("a certificate without all votes")
		}
	})

	bubble(t, "no vote where nothing was stored", func(t *testing.T) {
		c := tsstest.NewCluster(t, 4, 2, tsstest.Single(3)...)
		full := errors.New("disk full")
		votes := 0
		c.Net.Watch = func(from, _ tss.IdentityKey, m tsstest.Message) {
			if m.Round() == 3 && from == c.Identities[1].Public() {
				votes++
			}
		}
		p := c.KeygenProposal(tss.SuiteEd25519)
		for i, r := range tsstest.Each(within(t), c, nil, func(ctx context.Context, i int, n *tss.Node) (tsstest.KeyShareOf, error) {
			return tsstest.Keygen(ctx, n, p, func(*tss.KeyShare) error {
				if i == 1 {
					return full
				}
				return nil
			})
		}) {
			if r.Err == nil || i == 1 && !errors.Is(r.Err, full) || tss.Culprits(r.Err) != nil {
				t.Errorf("node %d: %v", i, r.Err)
			}
		}
		if votes != 0 {
			t.Error("a vote left without a stored share")
		}
	})
}

// One member is silent, another sends rubbish: the deadline's error names both, and
// only the second as guilty.
func TestSilentAndMalformed(t *testing.T) {
	bubble(t, "both", func(t *testing.T) {
		c := tsstest.NewCluster(t, 1, 2, tsstest.Single(4)...)
		c.Net.Tamper = func(from, _ tss.IdentityKey, m tsstest.Message) []tsstest.Message {
			switch {
			case from == c.Identities[1].Public() && m.Round() >= 1:
				return nil
			case from == c.Identities[2].Public() && m.Round() == 1:
				m = m.With(m.Body()[1:])
			}
			return []tsstest.Message{m}
		}
		for i, r := range c.TryKeygen(within(t), tss.SuiteBIP340) {
			if i == 1 || i == 2 {
				continue
			}
			var fs tss.Faults
			if !errors.As(r.Err, &fs) || len(fs) != 2 || fs[0].Party != 3 || fs[0].Kind != tss.Malformed || fs[1].Party != 2 || fs[1].Kind != tss.Absent {
				t.Errorf("node %d: %v", i, r.Err)
			}
		}
	})
}
