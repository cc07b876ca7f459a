package frost

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/derive"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
)

// Signing in one round: signers make nonces beforehand and send the public halves
// to a coordinator, who needs no share; a request that the coordinator signs names
// one stored nonce for each signing id (docs/spec/04-frost.md §4). Nonces live in
// memory alone: a restart loses them, and no backup brings one back.

// Bounds of stored nonces.
const (
	MaxBatch  = 100  // pairs of one batch, for each id
	MaxUnused = 1000 // unused pairs that a Pool holds
)

// NonceID names one stored nonce pair: u64 epoch, u32 batch, u32 counter.
type NonceID [16]byte

// Coordinator is who may request online signatures: its number in the
// configuration and its identity key.
type Coordinator struct {
	Number uint16
	Key    tss.IdentityKey
}

// SignedRequest is a coordinator's order to sign, with its signature.
type SignedRequest struct {
	Q         []byte
	Signature []byte
}

// ErrCoordinator says that a request isn't signed by the coordinator.
var ErrCoordinator = errors.New("frost: request isn't signed by the coordinator")

// ErrUnknownNonce says that a request names a nonce that this member doesn't hold,
// as after a restart.
var ErrUnknownNonce = errors.New("frost: request names a nonce that isn't here")

// Pool holds a member's stored nonces for one key share. It may be used by
// several goroutines.
type Pool struct {
	share    *tss.KeyShare
	identity *tss.Identity
	log      tss.Log
	random   io.Reader

	mu    sync.Mutex
	free  map[NonceID]*nonces
	spent map[NonceID]hash.Digest // the request that consumed it, for the life of the epoch
}

// NewPool starts an empty pool; nonces are drawn from r. Batches are numbered by the
// log's counter, so that a restart gives no name a second time.
func NewPool(share *tss.KeyShare, id *tss.Identity, log tss.Log, r io.Reader) (*Pool, error) {
	if suiteOf(share.Suite) == nil || id.Public() != share.Owner {
		return nil, fmt.Errorf("%w: the identity doesn't own this FROST share", ErrRequest)
	}
	return &Pool{
		share: share, identity: id, log: log, random: r,
		free: make(map[NonceID]*nonces), spent: make(map[NonceID]hash.Digest),
	}, nil
}

// Batch makes n nonce pairs for each own id and returns the signed public halves
// for the coordinator.
func (p *Pool) Batch(n int) (tss.Envelope, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := p.share.Parties.Owned(p.share.Owner)
	if n < 1 || n > MaxBatch || len(p.free)+n*len(ids) > MaxUnused {
		return tss.Envelope{}, fmt.Errorf("%w: a batch has 1 to %d pairs, and a pool at most %d", ErrRequest, MaxBatch, MaxUnused)
	}
	counter, err := p.log.NextCounter()
	if err != nil {
		return tss.Envelope{}, fmt.Errorf("frost: take a batch number: %w", err)
	}
	if counter > math.MaxUint32 {
		return tss.Envelope{}, errors.New("frost: no batch number is left")
	}
	batch := uint32(counter)
	body := binary.BigEndian.AppendUint32(nil, batch)
	made := make(map[NonceID]*nonces, n*len(ids))
	for i, id := range ids {
		secret, _ := p.share.Secret(id)
		for k := range n {
			pair, err := suiteOf(p.share.Suite).commit([]group.Scalar{secret}, p.random)
			if err != nil {
				return tss.Envelope{}, err
			}
			name := nonceID(p.share.Epoch, batch, i*n+k)
			made[name] = pair
			body = append(append(body, name[:]...), pair.public...)
		}
	}
	maps.Copy(p.free, made)
	return p.identity.SignFor(&p.share.Key, tss.ProtocolFROST, 1, batchTopic(&p.share.Key, p.share.Owner), body)
}

func nonceID(epoch uint64, batch uint32, counter int) (name NonceID) {
	binary.BigEndian.PutUint64(name[:], epoch)
	binary.BigEndian.PutUint32(name[8:], batch)
	binary.BigEndian.PutUint32(name[12:], uint32(counter))
	return name
}

// Unused returns how many nonce pairs are left.
func (p *Pool) Unused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.free)
}

// Discard forgets all unused nonces, as when the key's epoch ends.
func (p *Pool) Discard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, n := range p.free {
		n.clear()
		delete(p.free, name)
	}
}

func batchTopic(k *tss.Key, owner tss.IdentityKey) hash.Digest {
	return hash.Sum("frost/batch", k.ID[:], hash.U64(k.Epoch), k.T[:], owner[:])
}

// onlineRequest is Q of the specification.
type onlineRequest struct {
	suite       tss.Suite
	keyID       hash.Digest
	epoch       uint64
	t           hash.Digest
	signers     tss.Parties
	names       []NonceID // of each signing id
	b           []byte    // B
	request     Request
	digest      hash.Digest
	nonce       [32]byte
	coordinator uint16
}

func (q *onlineRequest) bytes() []byte {
	lp := func(b, p []byte) []byte { return append(binary.BigEndian.AppendUint64(b, uint64(len(p))), p...) }
	b := []byte{byte(tss.ProtocolFROST), byte(q.suite)}
	b = append(b, q.keyID[:]...)
	b = binary.BigEndian.AppendUint64(b, q.epoch)
	b = append(b, q.t[:]...)
	b = lp(b, q.signers.AppendBytes(nil))
	for _, n := range q.names {
		b = append(b, n[:]...)
	}
	b = lp(b, q.b)
	b = append(b, q.request.body()...)
	b = lp(b, q.request.Message)
	b = append(b, q.digest[:]...)
	b = append(b, q.nonce[:]...)
	return binary.BigEndian.AppendUint16(b, q.coordinator)
}

// decodeRequest reads Q: exactly what bytes writes.
func decodeRequest(b []byte) (*onlineRequest, error) {
	r := tss.NewReader(b)
	q := &onlineRequest{}
	if tss.Protocol(r.U8()) != tss.ProtocolFROST {
		return nil, fmt.Errorf("%w: it is no request to sign by FROST", ErrRequest)
	}
	q.suite = tss.Suite(r.U8())
	q.keyID, q.epoch, q.t = r.Digest(), r.U64(), r.Digest()
	var err error
	if q.signers, err = tss.DecodeParties(r.LP()); err != nil {
		return nil, fmt.Errorf("%w: signers: %w", ErrRequest, err)
	}
	for range q.signers {
		var name NonceID
		copy(name[:], r.Take(len(name)))
		q.names = append(q.names, name)
	}
	q.b = r.LP()
	r.U8() // hashing: none
	depth := int(r.U16())
	if depth > derive.MaxDepth {
		return nil, fmt.Errorf("%w: path is longer than %d", ErrRequest, derive.MaxDepth)
	}
	for range depth {
		q.request.Path = append(q.request.Path, r.U32())
	}
	if kind, root := r.U8(), r.LP(); kind == 1 {
		q.request.Taproot = &Taproot{MerkleRoot: root}
	}
	q.request.Message = r.LP()
	q.digest, q.nonce, q.coordinator = r.Digest(), r.Digest(), r.U16()
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if !slices.Equal(q.bytes(), b) {
		return nil, fmt.Errorf("%w: encoding isn't canonical", ErrRequest)
	}
	return q, nil
}

// Sign answers a coordinator's request at one member: it consumes the stored
// nonces that the request names, checks everything else, asks approve, and only
// then exchanges signature shares with the other signers, in one round. All of
// them get the signature.
//
// A nonce is consumed by the first request with the coordinator's signature that
// names it, whatever else is wrong with the request. A second one is refused with
// ErrUsed where it is the same, and blames the coordinator where it isn't.
func (p *Pool) Sign(ctx context.Context, node *tss.Node, c Coordinator, sr SignedRequest, approve func(Request) error) (signature []byte, err error) {
	defer tss.Guard(&err)
	q, err := decodeRequest(sr.Q)
	if err != nil {
		return nil, err
	}
	if q.coordinator != c.Number || !c.Key.VerifyRequest(sr.Q, sr.Signature) {
		return nil, ErrCoordinator
	}
	if q.keyID != p.share.ID {
		return nil, fmt.Errorf("%w: it is about another key", ErrRequest)
	}
	if owner, ok := p.share.Parties.Owner(c.Number); ok && owner != c.Key {
		return nil, fmt.Errorf("%w: its number is an id of the key", ErrCoordinator)
	}
	digest := hash.Sum("q", sr.Q)
	pairs, err := p.consume(c, q, digest)
	if err != nil {
		return nil, err
	}
	defer pairs.clear()
	commitments, err := p.check(q)
	if err != nil {
		return nil, err
	}
	if err := approve(q.request); err != nil {
		return nil, fmt.Errorf("frost: not approved: %w", err)
	}

	s, err := node.Open(tss.ProtocolFROST, p.share, q.signers.IDs(), q.session())
	if err != nil {
		return nil, err
	}
	defer s.Close()
	r, err := newRun(s, q.request)
	if err != nil {
		return nil, err
	}
	s.Start([]tss.Round{shareRound}, func(from, _ tss.Member, m tss.Messages) error {
		return r.judgeShares(from, m.Broadcast(1))
	})
	mine := append(slices.Clone(sr.Signature), sr.Q...)
	s.Exhibit(mine, func(from tss.Member, theirs []byte) *tss.Fault { return c.inquire(s, from, mine, theirs) })
	return r.finish(ctx, commitments, pairs, hash.Sum("online/sid", digest[:]))
}

const signatureSize = 64

// session is the id of the session that answers the request: one for each choice of
// nonces, so that signers who got different requests for them meet and find out.
func (q *onlineRequest) session() hash.Digest {
	var names []byte
	for _, n := range q.names {
		names = append(names, n[:]...)
	}
	return hash.Sum("frost/online", q.keyID[:], hash.U64(q.epoch), q.t[:], q.signers.AppendBytes(nil), names)
}

// inquire convicts the coordinator where another signer was sent another request
// for the same nonces, and the signer where it shows none that is signed.
func (c Coordinator) inquire(s *tss.Session, from tss.Member, mine, theirs []byte) *tss.Fault {
	good := len(theirs) >= signatureSize && c.Key.VerifyRequest(theirs[signatureSize:], theirs[:signatureSize])
	if good {
		q, err := decodeRequest(theirs[signatureSize:])
		good = err == nil && q.session() == s.ID()
	}
	if !good {
		return &tss.Fault{Party: from, Identity: s.Identity(from), Round: 1, Kind: tss.Malformed, Reason: "it shows no request for these nonces that the coordinator signed"}
	}
	if !slices.Equal(mine[signatureSize:], theirs[signatureSize:]) {
		return c.fault("two different requests for the same nonces")
	}
	return nil
}

func (c Coordinator) fault(reason string) *tss.Fault {
	return &tss.Fault{Party: tss.Member(c.Number), Identity: c.Key, Round: 1, Kind: tss.Equivocated, Reason: reason}
}

// consume takes the own nonces that the request names out of the pool, all of
// them, before anything can fail.
func (p *Pool) consume(c Coordinator, q *onlineRequest, digest hash.Digest) (*nonces, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := &nonces{}
	var err error
	for i, party := range q.signers {
		if party.Owner != p.share.Owner {
			continue
		}
		name := q.names[i]
		n, ok := p.free[name]
		if !ok {
			first, known := p.spent[name]
			switch {
			case !known:
				err = errors.Join(err, ErrUnknownNonce)
			case first == digest:
				err = errors.Join(err, ErrUsed)
			default:
				err = errors.Join(err, ErrUsed, tss.Faults{c.fault("a second request for a nonce")})
			}
			continue
		}
		delete(p.free, name)
		p.spent[name] = digest
		all.d, all.e, all.public = append(all.d, n.d...), append(all.e, n.e...), append(all.public, n.public...)
		n.clear()
	}
	if err != nil {
		all.clear()
	} else if len(all.d) == 0 {
		err = fmt.Errorf("%w: this member isn't among the signers", ErrRequest)
	}
	return all, err
}

// check compares the request with the own key and decodes B.
func (p *Pool) check(q *onlineRequest) ([]commitment, error) {
	k := &p.share.Key
	if q.suite != k.Suite || q.epoch != k.Epoch || q.t != k.T {
		return nil, fmt.Errorf("%w: it is about another epoch or sharing", ErrRequest)
	}
	if q.digest != q.request.Digest(k.Suite) {
		return nil, fmt.Errorf("%w: digest doesn't fit what is to be signed", ErrRequest)
	}
	suite := suiteOf(k.Suite)
	entry := group.ScalarSize + 2*suite.group.PointSize()
	if len(q.signers) < k.Threshold || len(q.b) != len(q.signers)*entry {
		return nil, fmt.Errorf("%w: too few signers, or B has a wrong length", ErrRequest)
	}
	var out []commitment
	for i, party := range q.signers {
		if owner, ok := k.Parties.Owner(party.ID); !ok || owner != party.Owner || i > 0 && q.signers[i-1].ID >= party.ID {
			return nil, fmt.Errorf("%w: signers are ids of the key with their owners, ascending", ErrRequest)
		}
		b := q.b[i*entry : (i+1)*entry]
		if !slices.Equal(b[:group.ScalarSize], suite.group.Uint(uint64(party.ID)).Bytes()) {
			return nil, fmt.Errorf("%w: B doesn't list exactly the signers", ErrRequest)
		}
		var err error
		if out, err = suite.decodeCommitments(out, []uint16{party.ID}, b[group.ScalarSize:]); err != nil {
			return nil, fmt.Errorf("%w: B: %w", ErrRequest, err)
		}
	}
	return out, nil
}
