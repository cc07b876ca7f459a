package ceremony

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/wire"
)

// How long sessions may take.
const (
	keygenTime = 30 * time.Second
	signTime   = 10 * time.Second
	inputTime  = 50 * time.Millisecond // more for each signature
	attempts   = 4
)

// Keygen has the nodes of an authorized key generation make the key. All of them
// attest it. The chain code is for the control plane's records.
func (c *Coordinator) Keygen(ctx context.Context, intent custody.ID[custody.Intent], index int64, set custody.SignerSet) (*custody.KeyRecord, custody.Hash, error) {
	if err := c.Covered(ctx, index); err != nil {
		return nil, custody.Hash{}, err
	}
	nonce, err := c.nonce()
	if err != nil {
		return nil, custody.Hash{}, err
	}
	var names []custody.Name
	for _, m := range set.Members {
		names = append(names, m.Node)
	}
	ctx, cancel := context.WithTimeout(ctx, keygenTime)
	defer cancel()
	answers := invite[wire.KeygenDone](ctx, c, names, wire.KeygenTopic,
		wire.Keygen{Intent: intent, Nonce: nonce, Expires: c.cfg.Now().Add(keygenTime + journal.MaxSkew).Unix()}, keygenFailed)
	record := &custody.KeyRecord{Intent: intent, Attestations: []custody.NodeSignature{}}
	var chainCode custody.Hash
	var first []byte
	for i := range answers {
		a := &answers[i]
		if a.err == nil && a.done.Failed == nil && a.done.Key == nil {
			a.err = errors.New("answered without a key")
		}
		if a.err != nil || a.done.Failed != nil {
			return nil, chainCode, refused(answers, keygenFailed)
		}
		raw, err := custody.Encode(a.done.Key)
		if err != nil {
			return nil, chainCode, err
		}
		if first == nil {
			first, record.Key, chainCode = raw, *a.done.Key, a.done.ChainCode
		}
		if string(raw) != string(first) || a.done.ChainCode != chainCode {
			return nil, chainCode, fmt.Errorf("%s attests another key than %s", a.name, answers[0].name)
		}
		record.Attestations = append(record.Attestations, custody.NodeSignature{Node: a.name, Signature: a.done.Attestation})
	}
	if chain.Commitment(chainCode) != record.Key.ChainCode {
		return nil, chainCode, errors.New("the nodes' chain code isn't the one that they attest")
	}
	return record, chainCode, nil
}

// Order is a transaction to have signed.
type Order struct {
	Intent    custody.ID[custody.Intent]
	Prepared  custody.Hash // leaf hash of the PREPARED entry
	Index     int64        // of that entry
	Set       custody.SignerSet
	Details   []byte
	Messages  []custody.Hash // SHA-256 of what each signature signs, in order
	Recipient custody.Hash   // chain code of the key of an INTERNAL recipient; zero for others

	// Verify refuses signatures that aren't those of the transaction.
	Verify func(signatures []custody.Blob) error
}

// Signatures is what the signers of a transaction released, verified.
type Signatures struct {
	Signatures []custody.Blob // one per message, in order
	Receipts   []custody.Receipt
}

// Sign has a transaction signed by as many nodes as its key needs, those that
// answered last first. When a session fails, others take the place of whoever didn't
// answer, refused, or answered with what doesn't verify; where nobody is shown to be
// at fault, of whoever was in most sessions that failed. The error says what each of
// them said.
func (c *Coordinator) Sign(ctx context.Context, o Order) (*Signatures, error) {
	avoid := make(map[custody.Name]bool)
	var failure error
	for range attempts {
		if err := c.Covered(ctx, o.Index); err != nil {
			return nil, errors.Join(failure, err)
		}
		signers, err := c.choose(o.Set, avoid)
		if err != nil {
			return nil, errors.Join(failure, err)
		}
		nonce, err := c.nonce()
		if err != nil {
			return nil, err
		}
		limit := signTime + time.Duration(len(o.Messages))*inputTime
		session, cancel := context.WithTimeout(ctx, limit)
		answers := invite[wire.SignDone](session, c, signers, wire.SignTopic, wire.Sign{
			Intent: o.Intent, Prepared: o.Prepared, Details: o.Details, Signers: signers, Nonce: nonce,
			Expires: c.cfg.Now().Add(limit + journal.MaxSkew).Unix(), Recipient: o.Recipient,
		}, signFailed)
		cancel()
		for i := range answers {
			if a := &answers[i]; a.err == nil && a.done.Failed == nil {
				a.err = c.check(&o, a.name, a.done)
			}
		}
		c.strike(answers)
		if done := complete(answers); done != nil {
			return done, nil
		}
		failure = refused(answers, signFailed)
		c.cfg.Log.Warn("session failed", "intent", o.Intent, "signers", signers, "reason", failure.Error())
		blame(answers, avoid)
	}
	return nil, failure
}

// check verifies what a node released: the signatures, and its receipt for them.
func (c *Coordinator) check(o *Order, name custody.Name, done *wire.SignDone) error {
	if err := o.Verify(done.Signatures); err != nil {
		return fmt.Errorf("its signatures: %w", err)
	}
	return c.cfg.Store.View(func(s *state.State) error {
		n := s.Node(name)
		if n == nil {
			return errors.New("not on record")
		}
		key, err := hybrid.ParsePublicKey(n.IdentityKey)
		if err != nil {
			return err
		}
		hash := custody.ReceiptHash(s.CharterHash(), o.Prepared, o.Messages)
		if err := key.Verify(hash[:], done.Receipt); err != nil {
			return fmt.Errorf("its receipt: %w", err)
		}
		return nil
	})
}

// strike counts the failed sessions that each node was in since its last good one. A
// node's own word on another proves nothing here.
func (c *Coordinator) strike(answers []answer[wire.SignDone]) {
	good := complete(answers) != nil
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range answers {
		c.strikes[a.name]++
		if good {
			delete(c.strikes, a.name)
		}
	}
}

// complete joins the answers of a session in which everybody signed.
func complete(answers []answer[wire.SignDone]) *Signatures {
	out := &Signatures{}
	for _, a := range answers {
		if a.err != nil || a.done.Failed != nil {
			return nil
		}
		out.Signatures = a.done.Signatures
		out.Receipts = append(out.Receipts, custody.Receipt{Node: a.name, Signature: a.done.Receipt})
	}
	return out
}

// blame notes whom to leave out of the next attempt: who refused, didn't answer, or
// answered with what doesn't verify.
func blame(answers []answer[wire.SignDone], avoid map[custody.Name]bool) {
	for _, a := range answers {
		if a.err != nil && !errors.Is(a.err, errLeft) {
			avoid[a.name] = true
		}
	}
}

// Able refuses a set of which too few nodes answer for a signature. A transaction
// that is on record and can't be signed keeps its coins claimed.
func (c *Coordinator) Able(set custody.SignerSet) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := 0
	for _, m := range set.Members {
		if n := c.nodes[m.Node]; n != nil && c.reachable(n) {
			ids += m.IDs
		}
	}
	if ids < set.Threshold {
		return &custody.Error{Code: custody.Unavailable, Field: "signers", Message: fmt.Sprintf("nodes with %d ids answer, the key needs %d", ids, set.Threshold)}
	}
	return nil
}

// choose picks members of a set that make up its threshold: those who took the
// newest head before those who are silent, of them those with the fewest failed
// sessions, and none to avoid.
func (c *Coordinator) choose(set custody.SignerSet, avoid map[custody.Name]bool) ([]custody.Name, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	members := slices.Clone(set.Members)
	rank := func(m custody.Member) int {
		n := c.nodes[m.Node]
		switch {
		case n == nil || !c.reachable(n):
			return 2
		case n.cosigned < c.head.Size:
			return 1
		default:
			return 0
		}
	}
	slices.SortStableFunc(members, func(a, b custody.Member) int {
		return cmp.Or(rank(a)-rank(b), c.strikes[a.Node]-c.strikes[b.Node])
	})
	var chosen []custody.Name
	ids := 0
	for _, m := range members {
		if ids >= set.Threshold {
			break
		}
		if !avoid[m.Node] {
			chosen = append(chosen, m.Node)
			ids += m.IDs
		}
	}
	if ids < set.Threshold {
		return nil, &custody.Error{Code: custody.Unavailable, Field: "signers", Message: fmt.Sprintf("%d ids are left to sign, the key needs %d", ids, set.Threshold)}
	}
	slices.Sort(chosen)
	return chosen, nil
}

func keygenFailed(d *wire.KeygenDone) *wire.Failure { return d.Failed }
func signFailed(d *wire.SignDone) *wire.Failure     { return d.Failed }

// answer is what one node said to an invitation.
type answer[T any] struct {
	name custody.Name
	done *T
	err  error
}

// errLeft is the end of a call to a node whose session had failed elsewhere.
var errLeft = errors.New("its session failed elsewhere")

// linger is how long the other nodes of a session are heard after one has failed.
const linger = 500 * time.Millisecond

// invite calls all nodes named at once and waits for all of them. A session needs
// every one: when one of them fails, the others are soon left alone.
func invite[T any](ctx context.Context, c *Coordinator, names []custody.Name, topic string, question any, failed func(*T) *wire.Failure) []answer[T] {
	out := make([]answer[T], len(names))
	body, err := wire.Encode(question)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	for i, name := range names {
		out[i] = answer[T]{name, new(T), err}
		if err != nil {
			continue
		}
		work.Go(func() {
			raw, err := c.cfg.Bus.Call(ctx, string(name), topic, body)
			if err == nil {
				err = wire.Decode(raw, out[i].done)
			}
			switch {
			case err != nil && errors.Is(context.Cause(ctx), errLeft):
				err = errLeft
			case err != nil || failed(out[i].done) != nil:
				time.AfterFunc(linger, func() { cancel(errLeft) })
			}
			out[i].err = err
		})
	}
	work.Wait()
	return out
}

// refused joins what the nodes said, each under its name.
func refused[T any](answers []answer[T], failed func(*T) *wire.Failure) error {
	var said []string
	code := custody.Unavailable
	for _, a := range answers {
		switch {
		case a.err != nil:
			said = append(said, fmt.Sprintf("%s: %v", a.name, a.err))
			if custody.CodeOf(a.err) == custody.Forbidden {
				code = custody.Forbidden
			}
		case failed(a.done) != nil:
			said = append(said, fmt.Sprintf("%s: %s", a.name, failed(a.done).Reason))
		}
	}
	return &custody.Error{Code: code, Message: strings.Join(said, "; ")}
}

func (c *Coordinator) nonce() (h custody.Hash, err error) {
	_, err = io.ReadFull(c.cfg.Rand, h[:])
	return h, err
}
